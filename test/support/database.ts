import { randomBytes } from 'node:crypto';
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
      await asAdmin(adminUrl, (admin) => admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`));
    },
  };
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
