import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { MIGRATIONS } from '#db/data-source.js';
import { migrate, pendingMigrations, runtimeUrlOf, schemaIsCurrent } from '#db/migrate.js';
import { Deadline } from '#platform/deadline.js';
import { Database } from '#platform/postgres.js';
import { freePort } from '../scripts/ports.mjs';
import { privatePostgres } from './support/postgres.js';

const EVERY = MIGRATIONS.map(({ name }) => name);
const PROCESSES = 6;
const DATABASES = 3;

async function asOwner<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

function urlTo(database: string): string {
  const url = new URL(inject('ownerUrl'));
  url.pathname = `/${database}`;
  return url.href;
}

describe('migrate', () => {
  const names = Array.from({ length: DATABASES }, () => `migrate_${randomBytes(6).toString('hex')}`);
  beforeAll(() =>
    asOwner(inject('ownerUrl'), async (owner) => {
      for (const name of names) await owner.query(`CREATE DATABASE ${name}`);
    }),
  );
  afterAll(() =>
    asOwner(inject('ownerUrl'), async (owner) => {
      for (const name of names) await owner.query(`DROP DATABASE ${name} WITH (FORCE)`);
    }),
  );

  it('says that an empty database is not current, to the owner and to the runtime role', async () => {
    const url = urlTo(names[0] as string);
    expect(await pendingMigrations(url)).toEqual(EVERY);
    const database = new Database(runtimeUrlOf(url), { poolSize: 1, connectTimeoutMs: 2_000, applicationName: 'test' });
    expect(await schemaIsCurrent(database)).toBe(false);
    await database.close();
  });

  it('runs each migration once when many processes migrate several databases of one server at once', async () => {
    const runs = names.flatMap((name) => Array.from({ length: PROCESSES }, () => migrate(urlTo(name))));
    const applied = await Promise.all(runs);
    expect(applied.flat()).toEqual(Array.from({ length: DATABASES }, () => EVERY).flat());
    for (const name of names) expect(await pendingMigrations(urlTo(name))).toEqual([]);
  });

  it('leaves a role that may neither own, create, bypass nor see', async () => {
    const url = urlTo(names[0] as string);
    const [role] = await asOwner(url, async (owner) => {
      const { rows } = await owner.query(`SELECT * FROM pg_roles WHERE rolname = 'counterfoil_runtime'`);
      return rows;
    });
    expect(role).toMatchObject({
      rolsuper: false,
      rolbypassrls: false,
      rolcreaterole: false,
      rolcreatedb: false,
      rolinherit: false,
    });
    const database = new Database(runtimeUrlOf(url), { poolSize: 1, connectTimeoutMs: 2_000, applicationName: 'test' });
    expect(await schemaIsCurrent(database)).toBe(true);
    await expect(
      database.transaction('platform', Deadline.after(2_000), (client) =>
        client.query({ text: 'CREATE TABLE mine (id int)' }),
      ),
    ).rejects.toMatchObject({ code: '42501' });
    await database.close();
  });

  /** A database of an owner who is no superuser. */
  async function ownedBy(owner: string, work: (url: string) => Promise<void>): Promise<void> {
    const name = `${owner}_db`;
    await asOwner(inject('ownerUrl'), async (admin) => {
      await admin.query(`CREATE ROLE ${owner} LOGIN CREATEROLE PASSWORD 'secret'`);
      await admin.query(`CREATE DATABASE ${name} OWNER ${owner}`);
    });
    const url = new URL(urlTo(name));
    url.username = owner;
    url.password = 'secret';
    try {
      await work(url.href);
    } finally {
      await asOwner(inject('ownerUrl'), async (admin) => {
        await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
        await admin.query(`DROP ROLE ${owner}`);
      });
    }
  }
  const runtimeUrlTo = (url: string): string => {
    const runtime = new URL(runtimeUrlOf(inject('ownerUrl')));
    runtime.pathname = new URL(url).pathname;
    return runtime.href;
  };
  const DEFINERS = `SELECT DISTINCT proowner::regrole::text AS owner FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace`;

  it('lets an owner who may only create roles migrate, once it is a member of the retention role, and says so before', () =>
    ownedBy('migrate_owner', async (url) => {
      const options = { runtimeUrl: runtimeUrlTo(url) };
      await expect(migrate(url, options)).rejects.toThrow(
        'as a superuser: GRANT counterfoil_retention TO "migrate_owner" WITH INHERIT TRUE, SET TRUE',
      );
      // As whoever creates the role is from the start.
      await asOwner(inject('ownerUrl'), (admin) =>
        admin.query('GRANT counterfoil_retention TO migrate_owner WITH ADMIN TRUE, INHERIT FALSE, SET FALSE'),
      );
      expect(await migrate(url, options)).toEqual(EVERY);
      expect(await asOwner(url, async (owner) => (await owner.query(DEFINERS)).rows)).toEqual([
        { owner: 'counterfoil_retention' },
      ]);
    }));

  it('takes back what a restored dump or a hand has given, and refuses what it cannot take back', async () => {
    const url = urlTo(names[2] as string);
    await asOwner(url, async (owner) => {
      await owner.query(`GRANT TEMPORARY ON DATABASE ${names[2]} TO PUBLIC`);
      const { rows } = await owner.query(
        `SELECT oid::regprocedure::text AS name FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace`,
      );
      for (const { name } of rows) await owner.query(`ALTER FUNCTION ${name} OWNER TO CURRENT_USER`);
    });
    expect(await migrate(url)).toEqual([]);
    await asOwner(url, async (owner) => {
      expect((await owner.query(DEFINERS)).rows).toEqual([{ owner: 'counterfoil_retention' }]);
      const may = `SELECT has_database_privilege('counterfoil_runtime', current_database(), 'TEMPORARY') AS temporary`;
      expect((await owner.query(may)).rows).toEqual([{ temporary: false }]);
      await owner.query(`GRANT TEMPORARY ON DATABASE ${names[2]} TO counterfoil_runtime`);
    });
    await expect(migrate(url)).rejects.toThrow(
      /may do more than it should; as the owner of the database: REVOKE TEMPORARY/,
    );
  });

  it('refuses a runtime URL of another user', async () => {
    await expect(migrate(urlTo(names[0] as string), { runtimeUrl: inject('ownerUrl') })).rejects.toThrow(
      /must be counterfoil_runtime/,
    );
  });

  it('gives up waiting for somebody else in time', async () => {
    const url = urlTo(names[1] as string);
    await asOwner(url, async (owner) => {
      await owner.query('SELECT pg_advisory_lock(7310868735955755)');
      await expect(migrate(url, { lockTimeoutMs: 200 })).rejects.toThrow(/lock timeout/);
    });
  });
});

it('gives the runtime role a password that the server asks for, and a new one when the owner’s has changed', async () => {
  const port = await freePort();
  const server = await privatePostgres({ listen_addresses: '127.0.0.1', port });
  const ownerWith = async (password: string) => {
    await asOwner(server.url, (owner) => owner.query(`ALTER ROLE counterfoil PASSWORD '${password}'`));
    return `postgresql://counterfoil:${password}@127.0.0.1:${port}/counterfoil`;
  };
  try {
    const [first, second] = [await ownerWith('first'), await ownerWith('second')];
    await expect(migrate(first)).rejects.toMatchObject({ code: '28P01' });
    expect(await migrate(second)).toEqual(EVERY);
    const third = await ownerWith('third');
    const login = (url: string) => asOwner(runtimeUrlOf(url), (runtime) => runtime.query('SELECT current_user AS me'));
    await expect(login(third)).rejects.toMatchObject({ code: '28P01' });
    expect(await migrate(third)).toEqual([]);
    expect((await login(third)).rows).toEqual([{ me: 'counterfoil_runtime' }]);
    await expect(login(second)).rejects.toMatchObject({ code: '28P01' });
  } finally {
    await server.stop();
  }
});
