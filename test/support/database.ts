import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { inject } from 'vitest';
import { runtimeUrlOf } from '#db/migrate.js';
import { CLOSE_DATABASE } from '#db/rights.js';

export const TEMPLATE = 'counterfoil_template';

export interface TestDatabase {
  ownerUrl: string;
  /** As the role that the service runs under: no ownership, row-level security forced. */
  runtimeUrl: string;
  drop(): Promise<void>;
}

/** A migrated, empty database of one's own, or a copy of another one that nobody is connected to. */
export async function freshDatabase(copyOf?: TestDatabase): Promise<TestDatabase> {
  const adminUrl = inject('ownerUrl');
  const name = `test_${randomBytes(8).toString('hex')}`;
  const template = copyOf ? new URL(copyOf.ownerUrl).pathname.slice(1) : TEMPLATE;
  await asAdmin(adminUrl, (admin) => admin.query(`CREATE DATABASE ${name} TEMPLATE ${template} STRATEGY FILE_COPY`));
  const owner = new URL(adminUrl);
  owner.pathname = `/${name}`;
  // A copy has what is in the template, and not the template's own rights.
  await asAdmin(owner.href, (admin) => admin.query(CLOSE_DATABASE));
  return {
    ownerUrl: owner.href,
    runtimeUrl: runtimeUrlOf(owner.href),
    drop: async () => {
      await asAdmin(adminUrl, async (admin) => {
        await untilOthersLeft(admin, name);
        await admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
      });
    },
  };
}

/** How long connections that are being closed may take; pg.Pool does not wait for their last byte. */
const LEAVE_MS = 1_000;

/** FORCE tells whoever is still there, and a client that is just leaving has nobody who would catch that. */
async function untilOthersLeft(admin: pg.Client, name: string): Promise<void> {
  const until = performance.now() + LEAVE_MS;
  const others = { text: 'SELECT FROM pg_stat_activity WHERE datname = $1 LIMIT 1', values: [name] };
  while ((await admin.query(others)).rowCount !== 0 && performance.now() < until) await sleep(5);
}

/** One connection for the time of `work`. */
export async function asAdmin<T>(url: string, work: (admin: pg.Client) => Promise<T>): Promise<T> {
  const admin = new pg.Client({ connectionString: url });
  await admin.connect();
  try {
    return await work(admin);
  } finally {
    await admin.end();
  }
}
