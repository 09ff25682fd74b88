import { randomBytes } from 'node:crypto';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { migrate } from '#db/migrate.js';
import { startTestServices } from '../../scripts/vitest-services.mjs';
import { TEMPLATE } from './database.js';

declare module 'vitest' {
  interface ProvidedContext {
    /** The owner's URL of the run's private PostgreSQL; `freshDatabase()` makes databases on it. */
    ownerUrl: string;
    redisUrl: string;
    redisQueueUrl: string;
  }
}

/** Once a run: private servers, and a migrated template that each test file clones in a fraction of a second. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const services = await startTestServices();
  // As elsewhere it has a password, though by its socket the server asks for none.
  const owner = new URL(services.databaseUrl);
  owner.password = randomBytes(12).toString('hex');
  const admin = new pg.Client({ connectionString: owner.href });
  await admin.connect();
  await admin.query(`DROP DATABASE IF EXISTS ${TEMPLATE} WITH (FORCE)`);
  await admin.query(`CREATE DATABASE ${TEMPLATE}`);
  await admin.end();
  const template = new URL(owner);
  template.pathname = `/${TEMPLATE}`;
  await migrate(template.href);
  project.provide('ownerUrl', owner.href);
  project.provide('redisUrl', services.redisUrl);
  project.provide('redisQueueUrl', services.redisQueueUrl);
  return () => services.stop();
}
