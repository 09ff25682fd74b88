import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MAY_REACT_AGAIN } from '#outbox/consumers/reactions.js';
import type { EventBatch } from '#outbox/log/position.js';
import { Deadline } from '#platform/deadline.js';
import { DailySummaries } from '#summaries/daily-summaries.js';
import { rebuildDailySummaries } from '#summaries/rebuild.js';
import { currentnessOf } from '#summaries/summary-store.js';
import { PartitionWorker, SMALL } from './outbox/one-partition.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { TestLedger, transfer } from './support/ledger.js';
import { until } from './support/until.js';
import { expectVerified } from './support/verified.js';

let on: TestDatabase;
let ledger: TestLedger;
let admin: pg.Pool;

beforeAll(async () => {
  on = await freshDatabase();
  ledger = await TestLedger.open(on);
  admin = new pg.Pool({ connectionString: on.ownerUrl, max: 2 });
});
afterAll(async () => {
  await ledger.close();
  await admin.end();
  await on.drop();
});

const SALES = 25;
const count = async (text: string, values: unknown[]): Promise<number> =>
  (await admin.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${text}`, values)).rows[0]?.n ?? 0;

/** A merchant with more events than its partition's first batch has, and the live consumer's worker on that partition. */
async function flooding() {
  const merchant = await ledger.createMerchant();
  const from = await ledger.createAccount(merchant, { code: 'from', minAvailable: null });
  const to = await ledger.createAccount(merchant, { code: 'to' });
  for (let sale = 0; sale < SALES; sale += 1) await ledger.post(merchant, transfer(from, to, 3n));
  const readable = 'events WHERE merchant_id = $1 AND xid >= log_horizon()';
  await until('all of it can be read', async () => (await count(readable, [merchant])) === 0);
  const { rows } = await admin.query<{ partition: number }>('SELECT partition_of($1) AS partition', [merchant]);
  const worker = new PartitionWorker(ledger, new DailySummaries(), rows[0]?.partition ?? -1);
  await worker.register();
  return { merchant, worker };
}

const waiting = async (merchant: bigint): Promise<number> => {
  const scope = { merchantIds: [merchant] };
  const ask = await ledger.database.transaction(scope, Deadline.after(20_000), (client) =>
    currentnessOf(client, merchant, 'daily_summaries'),
  );
  return ask.waitingEvents;
};
const turnOf = async (worker: PartitionWorker, merchantId: bigint | undefined): Promise<EventBatch> =>
  (await worker.next()).find((batch) => batch.merchantId === merchantId) as EventBatch;

test('whoever reads, checks or rebuilds a merchant’s summaries knows that it goes apart, and how far it is', async () => {
  const { merchant, worker } = await flooding();
  const all = await waiting(merchant);
  await worker.run(await turnOf(worker, undefined));
  // The partition is past all of it, and nothing has been applied.
  await worker.run(await turnOf(worker, undefined));
  expect(await waiting(merchant)).toBe(all);
  await expectVerified(on);
  await worker.run(await turnOf(worker, merchant));
  expect(await waiting(merchant)).toBe(all - SMALL.apart.turnEvents);
  await expectVerified(on);

  const { generation } = await rebuildDailySummaries(ledger.database);
  await expectVerified(on);
  expect(await waiting(merchant)).toBe(all - SMALL.apart.turnEvents);
  await worker.drain();
  expect(await waiting(merchant)).toBe(0);
  await expectVerified(on);
  const sums = await admin.query<{ debits: number }>(
    'SELECT sum(debit_count)::int AS debits FROM daily_summaries WHERE merchant_id = $1 AND generation = $2',
    [merchant, generation],
  );
  expect(sums.rows).toEqual([{ debits: SALES }]);
  expect(await count('merchant_positions', [])).toBe(0);
});

test('a turn of a merchant that goes apart waits while the positions are locked for a rebuild that is to be served', async () => {
  const { merchant, worker } = await flooding();
  await worker.run(await turnOf(worker, undefined));
  const turn = await turnOf(worker, merchant);
  const rebuild = await admin.connect();
  await rebuild.query(
    `BEGIN; SELECT FROM consumer_positions WHERE consumer = 'daily_summaries' ORDER BY partition FOR UPDATE`,
  );
  const ran = worker.run(turn);
  const blocked = `pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.datname = current_database()`;
  await until('the turn waits', async () => (await count(blocked, [])) > 0);
  expect(await count('daily_summaries WHERE merchant_id = $1', [merchant])).toBe(0);
  await rebuild.query('COMMIT');
  rebuild.release();
  await ran;
  expect(await count('daily_summaries WHERE merchant_id = $1', [merchant])).toBeGreaterThan(0);
});

test('the keys of a reactor’s merchant that goes apart outlive the retention of keys', async () => {
  const merchant = await ledger.createMerchant();
  await admin.query(
    `INSERT INTO idempotency_keys (merchant_id, key, request_sha256, status, transaction_id) VALUES ($1, 'reaction shop 5 5 fee', sha256('x'), 201, 1)`,
    [merchant],
  );
  const kept = `idempotency_keys k WHERE merchant_id = $1 AND ${MAY_REACT_AGAIN}`;
  expect(await count(kept, [merchant])).toBe(0);
  await admin.query(`INSERT INTO merchant_positions (merchant_id, consumer, xid, seq) VALUES ($1, 'shop', '4', 1)`, [
    merchant,
  ]);
  expect(await count(kept, [merchant])).toBe(1);
});
