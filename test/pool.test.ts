import { afterAll, beforeAll, expect, test } from 'vitest';
import { Deadline } from '#platform/deadline.js';
import { Database } from '#platform/postgres.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { TcpProxy } from './support/tcp-proxy.js';
import { until } from './support/until.js';

let on: TestDatabase;
let database: Database;

beforeAll(async () => {
  on = await freshDatabase();
  database = new Database(on.runtimeUrl, { poolSize: 1, connectTimeoutMs: 2_000, applicationName: 'pool' });
});
afterAll(async () => {
  await database.close();
  await on.drop();
});

test('a wait for a free connection ends as overloaded, and does not say that the database is away', async () => {
  const { promise: held, resolve: release } = Promise.withResolvers<void>();
  const busy = database.transaction('platform', Deadline.after(10_000), () => held);
  await expect(database.read('platform', Deadline.after(10_000), { text: 'SELECT 1' })).rejects.toMatchObject({
    code: 'overloaded',
    retryAfterS: 1,
  });
  release();
  await busy;
  expect(await database.read('platform', Deadline.after(10_000), { text: 'SELECT 1 AS one' })).toEqual([{ one: 1 }]);
});

const backends = (): Promise<{ state: string }[]> =>
  asAdmin(on.ownerUrl, async (admin) => {
    const text = `SELECT state FROM pg_stat_activity WHERE application_name = 'pool' AND datname = current_database()`;
    return (await admin.query<{ state: string }>(text)).rows;
  });

test('a statement that outlives its deadline is cancelled by PostgreSQL too, and the connection is replaced', async () => {
  // Long enough for a busy machine to begin the statement: before that there is nothing to cancel.
  await expect(database.read('platform', Deadline.after(500), { text: 'SELECT pg_sleep(3600)' })).rejects.toMatchObject(
    {
      code: 'deadline_exceeded',
    },
  );
  await until('nobody sleeps in PostgreSQL', async () => (await backends()).length === 0);
  expect(await database.read('platform', Deadline.after(10_000), { text: 'SELECT 1 AS one' })).toEqual([{ one: 1 }]);
});

test('a transaction whose process says nothing more is ended by PostgreSQL, its locks with it', async () => {
  const proxy = await TcpProxy.open(on.runtimeUrl);
  const silent = new Database(proxy.url, { poolSize: 1, connectTimeoutMs: 2_000, applicationName: 'pool' });
  const expired = silent.transaction('platform', Deadline.after(300), async (client) => {
    await client.query({ text: 'SELECT 1' });
    // As where the process is stopped: nothing goes through any more, and nothing says so.
    proxy.stall();
    return new Promise(() => undefined);
  });
  await until('the transaction is open', async () => (await backends()).some(({ state }) => state !== 'idle'));
  await expect(expired).rejects.toMatchObject({ code: 'deadline_exceeded' });
  await until('it is over', async () =>
    (await backends()).every(({ state }) => !state.startsWith('idle in transaction')),
  );
  await proxy.close();
  await silent.close();
});

test.each(['40001', '40P01'])(
  'what PostgreSQL gave up for the sake of others (%s) is database_unavailable',
  async (code) => {
    await asAdmin(on.ownerUrl, (admin) =>
      admin.query(`CREATE OR REPLACE FUNCTION give_up() RETURNS void LANGUAGE plpgsql SET search_path = public, pg_temp AS
      $$ BEGIN RAISE EXCEPTION 'given up' USING ERRCODE = '${code}'; END $$`),
    );
    const giveUp = { text: 'SELECT give_up()' };
    const problem = { code: 'database_unavailable', status: 503, retryAfterS: 1 };
    const deadline = Deadline.after(10_000);
    await expect(database.read('platform', deadline, giveUp)).rejects.toMatchObject(problem);
    await expect(database.write('platform', deadline, giveUp)).rejects.toMatchObject(problem);
    const transaction = database.transaction('platform', deadline, (client) => client.query(giveUp));
    await expect(transaction).rejects.toMatchObject(problem);
    // The connection is in order again.
    expect(await backends()).toHaveLength(1);
  },
);
