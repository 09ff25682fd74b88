import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '#kernel/clock.js';
import { firstSnowflakeAt } from '#kernel/snowflake.js';
import { Deadline } from '#platform/deadline.js';
import { Metrics } from '#platform/metrics.js';
import { Database } from '#platform/postgres.js';
import { OpenBreaks } from '#reconciliation/jobs/open-breaks.js';
import { type Recorded, recording } from './reconciliation/recorded.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { readingOf } from './support/metrics.js';

const NOW_MS = Date.parse('2026-11-20T12:00:00Z');
const HOUR_MS = 3_600_000;
/** As many rows as one bad report may have had, and more than are counted. */
const FLOOD = 100_000;

let on: TestDatabase;
let database: Database;
const recorded = new Map<string, Recorded>();

beforeAll(async () => {
  on = await freshDatabase();
  database = new Database(on.runtimeUrl, { poolSize: 1, connectTimeoutMs: 10_000, applicationName: 'test' });
});
afterAll(async () => {
  await database.close();
  await on.drop();
});

/** So many of a merchant and a kind, found so many hours ago. */
async function found(merchantId: number, kind: string, hoursAgo: number, count = 1, resolution: string | null = null) {
  const first = firstSnowflakeAt(NOW_MS - hoursAgo * HOUR_MS);
  await asAdmin(on.ownerUrl, (owner) =>
    owner.query({
      text: `INSERT INTO breaks (merchant_id, id, created_at, reconciliation_id, fingerprint, kind, status, resolution)
             SELECT $1, id, snowflake_time(id), 1, $2 || '/' || id, $2, $5, $6
               FROM generate_series($3::bigint, $3::bigint + $4::int - 1) id`,
      values: [merchantId, kind, String(first), count, resolution === null ? 'open' : 'resolved', resolution],
    }),
  );
}

/** Counts, and hours since the oldest, as they are told. */
async function told(kinds: readonly string[]) {
  const metrics = new Metrics();
  const breaks = new OpenBreaks(recording(database, recorded), { ...systemClock, now: () => NOW_MS });
  breaks.addMetrics(metrics);
  await breaks.look();
  const text = await metrics.text();
  return kinds.map((kind) => {
    const oldestS = readingOf(text, `counterfoil_breaks_open_oldest_seconds{kind="${kind}"}`);
    return [kind, readingOf(text, `counterfoil_breaks_open{kind="${kind}"}`), oldestS && (oldestS * 1_000) / HOUR_MS];
  });
}

/** Rows of breaks that the statement looks at. */
async function lookedAt(): Promise<number> {
  const text = [...recorded.keys()].find((one) => one.includes('FROM breaks')) ?? '';
  const explain = { text: `EXPLAIN (ANALYZE, FORMAT JSON) ${text}` };
  const [row] = await database.read<{ 'QUERY PLAN': string | Planned[] }>('platform', Deadline.after(30_000), explain);
  const plans = row?.['QUERY PLAN'];
  return ((typeof plans === 'string' ? JSON.parse(plans) : plans) as Planned[]).reduce(
    (sum, { Plan }) => sum + rowsOf(Plan),
    0,
  );
}

interface Planned {
  Plan: PlanNode;
}
interface PlanNode {
  'Relation Name'?: string;
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Filter'?: number;
  Plans?: PlanNode[];
}

function rowsOf(node: PlanNode): number {
  const { 'Actual Rows': kept, 'Rows Removed by Filter': removed = 0, 'Actual Loops': loops } = node;
  const own = node['Relation Name'] === 'breaks' ? (kept + removed) * loops : 0;
  return (node.Plans ?? []).reduce((sum, below) => sum + rowsOf(below), own);
}

test('each kind is counted, and its oldest told, however many there are of another', async () => {
  expect(await told(['internal_mismatch'])).toEqual([['internal_mismatch', undefined, undefined]]);
  await found(1, 'duplicate', 90, 1, '{}');
  await found(1, 'internal_mismatch', 91, 1, '{}');
  // Between two that are open.
  await found(1, 'missing_in_report', 92, 1, '{}');
  await found(1, 'missing_in_ledger', 5, FLOOD);
  await found(2, 'payout_mismatch', 4);
  await found(1, 'internal_mismatch', 2);
  await found(3, 'internal_mismatch', 3);
  await found(2, 'missing_in_ledger', 80);
  expect(
    await told(['internal_mismatch', 'missing_in_ledger', 'payout_mismatch', 'duplicate', 'missing_in_report']),
  ).toEqual([
    ['internal_mismatch', 2, 3],
    ['missing_in_ledger', 10_000, 80],
    ['payout_mismatch', 1, 4],
    ['duplicate', undefined, undefined],
    ['missing_in_report', undefined, undefined],
  ]);
});

test('no more of a kind are looked at than are counted, whether the table is known or not', async () => {
  expect(await lookedAt()).toBeLessThan(10_100);
  await asAdmin(on.ownerUrl, (owner) => owner.query('ANALYZE breaks'));
  expect(await lookedAt()).toBeLessThan(10_100);
});
