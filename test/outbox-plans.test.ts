import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readRange } from '#outbox/log/event-log.js';
import { RelayStore } from '#outbox/relay/relay-store.js';
import { Deadline } from '#platform/deadline.js';
import { Database } from '#platform/postgres.js';
import { appendEvents } from '../bench/bulk-events.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { until } from './support/until.js';

/** About 300 a partition; what is asked for begins near their end. */
const EVENTS = 20_000;
const BEHIND = 250;
const PARTITIONS = Array.from({ length: 64 }, (_, partition) => partition);
const LIMIT = 10;
/** Plans for any parameters are made from the sixth time on. */
const TIMES = 7;

let on: TestDatabase;
let owner: pg.Client;

beforeAll(async () => {
  on = await freshDatabase();
  owner = new pg.Client({ connectionString: on.ownerUrl });
  await owner.connect();
  await appendEvents(owner, EVENTS, 200);
  await owner.query('VACUUM ANALYZE');
  const database = new Database(on.runtimeUrl, { poolSize: 1, connectTimeoutMs: 20_000, applicationName: 'plans' });
  await new RelayStore(database).register('read', { from: 'beginning', keepsPosition: true });
  await database.close();
});
afterAll(async () => {
  await owner.end();
  await on.drop();
});

/** Entries of the log's index that `work` reads with so many scans, done several times on one connection. */
async function indexEntriesRead(_scans: number, work: (database: Database) => Promise<unknown>): Promise<number> {
  const read = async () =>
    (
      await owner.query<{ read: number; scans: number }>(
        `SELECT idx_tup_read::int AS read, idx_scan::int AS scans FROM pg_stat_user_indexes WHERE indexrelname = 'events_partition'`,
      )
    ).rows[0] as { read: number; scans: number };
  // A connection that stays tells its own up to a second late: what the owner has read is not of `work`.
  await owner.query('SELECT pg_stat_force_next_flush()');
  const before = await read();
  const database = new Database(on.runtimeUrl, { poolSize: 1, connectTimeoutMs: 20_000, applicationName: 'plans' });
  for (let time = 0; time < TIMES; time += 1) await work(database);
  // A connection that ends tells its statistics.
  await database.close();
  await until('the statistics are told', async () => (await read()).scans > before.scans);
  return (await read()).read - before.read;
}

test('a long backlog is counted up to a hundred events a partition', async () => {
  expect(
    await indexEntriesRead(PARTITIONS.length, (database) => new RelayStore(database).backlog(['read'])),
  ).toBeLessThanOrEqual(TIMES * PARTITIONS.length * 100);
});

test('the relay reads a long log from where a consumer stands, and no further than asked', async () => {
  for (const table of ['relay_cursors', 'consumer_positions']) {
    await owner.query(
      `UPDATE ${table} c SET (xid, seq) = (SELECT xid, seq FROM events e WHERE e.partition = c.partition ORDER BY xid, seq OFFSET $1 LIMIT 1)
        WHERE EXISTS (SELECT FROM events e WHERE e.partition = c.partition OFFSET $1)`,
      [BEHIND],
    );
  }
  const limits = { batchSize: LIMIT, resendMs: 60_000 };
  expect(
    await indexEntriesRead(PARTITIONS.length, (database) => new RelayStore(database).next('read', PARTITIONS, limits)),
    // And the newest of each partition: whether there is anything to read.
  ).toBeLessThanOrEqual(TIMES * PARTITIONS.length * (LIMIT + 1));
});

test('a consumer reads one page of its batch', async () => {
  const { rows } = await owner.query<{ partition: number; xid: string; seq: string }>(
    `SELECT partition, xid, seq FROM events WHERE partition = (SELECT max(partition) FROM events) ORDER BY xid, seq`,
  );
  const [after, through] = [rows[rows.length - 2 * LIMIT], rows.at(-1)].map((row) => ({
    xid: BigInt(row?.xid ?? 0),
    seq: BigInt(row?.seq ?? 0),
  })) as [{ xid: bigint; seq: bigint }, { xid: bigint; seq: bigint }];
  const partition = rows[0]?.partition ?? 0;
  const read = await indexEntriesRead(1, (database) =>
    database.transaction('relay', Deadline.after(10_000), (client) =>
      readRange(client, { partition, consumer: 'read' }, { after, through, limit: LIMIT }),
    ),
  );
  expect(read).toBeLessThanOrEqual(TIMES * LIMIT);
});
