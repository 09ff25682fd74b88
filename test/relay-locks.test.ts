import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { RelayLease } from '#outbox/relay/relay-lease.js';
import { RelayStore } from '#outbox/relay/relay-store.js';
import { Database } from '#platform/postgres.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { until } from './support/until.js';

let on: TestDatabase;
let databases: Database[];
/** Holds what others wait for. */
let gate: pg.Client;

beforeAll(async () => {
  on = await freshDatabase();
  databases = ['one', 'other'].map(
    (applicationName) =>
      new Database(on.runtimeUrl, {
        poolSize: 1,
        connectTimeoutMs: 20_000,
        applicationName: `locks-${applicationName}`,
      }),
  );
  gate = new pg.Client({ connectionString: on.ownerUrl });
  await gate.connect();
});
afterAll(async () => {
  await gate.end();
  await Promise.all(databases.map((database) => database.close()));
  await on.drop();
});

/** So many of the two wait for locks. Asked on a connection of its own: within a transaction the view stands still. */
const untilWaiting = (count: number) =>
  until(`${count} wait`, () =>
    asAdmin(on.ownerUrl, async (watcher) => {
      const { rowCount } = await watcher.query(
        `SELECT FROM pg_stat_activity WHERE application_name LIKE 'locks-%' AND wait_event_type = 'Lock'`,
      );
      return rowCount === count;
    }),
  );

test('whoever renews leases and whoever moves cursors wait in the same order', async () => {
  const [one, other] = databases as [Database, Database];
  const store = new RelayStore(other);
  await store.register('locked', { from: 'now', keepsPosition: false });
  const lease = new RelayLease(one, 60_000);
  await lease.renew();
  // As they lie in the table: 1, 2, 0. An UPDATE without an order takes them so. CLUSTER writes them anew, whatever lay between.
  await gate.query('CREATE INDEX shuffled ON relay_partitions (((partition + 2) % 3))');
  await gate.query('CLUSTER relay_partitions USING shuffled');
  await gate.query('DROP INDEX shuffled');
  const { rows } = await gate.query<{ partition: number }>('SELECT partition FROM relay_partitions');
  expect(rows.map(({ partition }) => partition).filter((partition) => partition < 3)).toEqual([1, 2, 0]);
  await gate.query('BEGIN');
  await gate.query('SELECT FROM relay_partitions WHERE partition = 2 FOR UPDATE');
  const renewed = lease.renew();
  await untilWaiting(1);
  const through = { xid: 7n, seq: 7n };
  const moved = store.move(
    'locked',
    [0, 1].map((partition) => ({ partition, through, epoch: lease.epochs.get(partition) ?? -1n })),
  );
  await untilWaiting(2);
  await gate.query('COMMIT');
  // Neither is ended as the victim of a deadlock.
  expect(await Promise.allSettled([renewed, moved])).toEqual([
    { status: 'fulfilled', value: undefined },
    { status: 'fulfilled', value: new Set([0, 1]) },
  ]);
  await lease.release();
});

test('members whose leases have run out renew them without waiting for each other, or for anybody', async () => {
  const leases = databases.map((database) => new RelayLease(database, 10_000));
  for (const lease of leases) await lease.renew();
  const third = randomUUID();
  await gate.query('INSERT INTO relay_members VALUES ($1, now())', [third]);
  await gate.query('UPDATE relay_members SET expires_at = to_timestamp(0)');
  await gate.query('BEGIN');
  expect((await gate.query('SELECT FROM relay_members WHERE holder = $1 FOR UPDATE', [third])).rowCount).toBe(1);
  // While it is held.
  await Promise.all(leases.map((lease) => lease.renew()));
  await gate.query('ROLLBACK');
  await Promise.all(leases.map((lease) => lease.release()));
});
