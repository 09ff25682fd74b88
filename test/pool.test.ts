import { afterAll, beforeAll, expect, test } from 'vitest';
import { Deadline } from '#platform/deadline.js';
import { Database } from '#platform/postgres.js';
import { freshDatabase, type TestDatabase } from './support/database.js';

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

test('a statement that outlives its deadline is cancelled by PostgreSQL too, and the connection is replaced', async () => {
  await expect(database.read('platform', Deadline.after(50), { text: 'SELECT pg_sleep(30)' })).rejects.toMatchObject({
    code: 'deadline_exceeded',
  });
  expect(await database.read('platform', Deadline.after(10_000), { text: 'SELECT 1 AS one' })).toEqual([{ one: 1 }]);
});
