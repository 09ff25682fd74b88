import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';
import { runtimeUrlOf } from '#db/migrate.js';

export const TEMPLATE = 'counterfoil_template';

export interface TestDatabase {
  ownerUrl: string;
  /** As the role that the service runs under: no ownership, row-level security forced. */
  runtimeUrl: string;
  drop(): Promise<void>;
}

/** A migrated, empty database of one's own. */
export async function freshDatabase(): Promise<TestDatabase> {
  const adminUrl = inject('ownerUrl');
  const name = `test_${randomBytes(8).toString('hex')}`;
  await asAdmin(adminUrl, (admin) => admin.query(`CREATE DATABASE ${name} TEMPLATE ${TEMPLATE} STRATEGY FILE_COPY`));
  const owner = new URL(adminUrl);
  owner.pathname = `/${name}`;
  return {
    ownerUrl: owner.href,
    runtimeUrl: runtimeUrlOf(owner.href),
    drop: () => asAdmin(adminUrl, (admin) => admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)),
  };
}

async function asAdmin(url: string, work: (admin: pg.Client) => Promise<unknown>): Promise<void> {
  const admin = new pg.Client({ connectionString: url });
  await admin.connect();
  try {
    await work(admin);
  } finally {
    await admin.end();
  }
}
