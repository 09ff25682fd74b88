import { afterAll, beforeAll, expect, test } from 'vitest';
import { Deadline } from '#platform/deadline.js';
import { PLAN_BY_KEYS } from '#platform/plan-by-keys.js';
import { closeReport } from '#reconciliation/closing/close-report.js';
import type { MatchedReport } from '#reconciliation/matching/match-report.js';
import { type Recorded, recording } from './reconciliation/recorded.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { NOON_MS, type PlannedRow, TestMatching } from './support/matching.js';

/** How the statements of matching and closing find rows of large tables, whatever the planner knows of these. */

const DAY_MS = 86_400_000;
const ROWS = 100_000;
const PERIOD = { periodFromMs: NOON_MS - DAY_MS, periodToMs: NOON_MS + DAY_MS };
const BANK = { source: 'camt053', provider: undefined };

let on: TestDatabase;
let matching: TestMatching;
let large: bigint;
const recorded = new Map<string, Recorded>();

beforeAll(async () => {
  on = await freshDatabase();
  matching = await TestMatching.open(on);
  await asAdmin(on.ownerUrl, async (owner) => {
    for (const table of Object.keys(KEYS)) await owner.query(`ALTER TABLE ${table} SET (autovacuum_enabled = off)`);
  });
  large = await matching.ledger.createMerchant();
  await record();
});
afterAll(async () => {
  await matching.close();
  await on.drop();
});

/** By one of these rows are to be found, beside their merchant. Those of a report are read when it is counted, and when its batches are. */
const KEYS: Readonly<Record<string, RegExp>> = {
  payments: /provider_ref =|subject =|\bid =/,
  payment_facts: /subject =|object_ref =|occurred_at [<>]/,
  payouts: /\bid [=<>]/,
  report_staging: /reconciliation_id =/,
  report_rows: /identity =|reference =|batch [=>]|ROW\(source, batch\) >|reconciliation_id =/,
  reconciled_items: /item =/,
  breaks: /item =|starts_with\(item|\bid [=>]|fingerprint [=><]|row_identity =|reference =|reconciliation_id =|CASE/i,
};
/** A bank's statement reads the open breaks of its source as such. */
const OPEN_BREAKS = /^ *WITH RECURSIVE names/;
const TABLES = new RegExp(Object.keys(KEYS).join('|'));

/** A merchant of whom each statement has something to do. */
async function record(): Promise<void> {
  const merchantId = await matching.ledger.createMerchant();
  const recorder = TestMatching.of(matching.ledger, { database: recording(matching.ledger.database, recorded) });
  const reconcile = async (rows: readonly PlannedRow[], more: Partial<MatchedReport> = {}) => {
    const report = await recorder.stage(merchantId, rows, { ...PERIOD, ...more });
    await recorder.match(report);
    await closeReport(recorder.matching, report, () => Deadline.after(30_000));
  };
  await matching.pay(merchantId, { ref: 'P', captures: [{ ref: 'c', amount: 1_000 }] });
  await matching.pay(merchantId, { ref: 'Q', captures: [{ ref: 'd', amount: 700 }] });
  const batch = { type: 'payment', batch: '4' };
  await reconcile([
    { line: 2, ref: 'P', object: 'c', gross: 1_000, ...batch },
    { line: 3, ref: 'later', object: 'e', gross: 50, ...batch },
    { line: 4, ref: 'nobody', gross: 700, ...batch },
    { line: 5, type: 'payout', gross: -1_745, batch: '4' },
  ]);
  await matching.pay(merchantId, { ref: 'later', captures: [{ ref: 'e', amount: 50 }] });
  await reconcile([{ line: 2, type: 'other', gross: -5, batch: '4' }]);
  await reconcile([{ line: 2, type: 'payout', ref: '7', gross: -40 }], BANK);
}

interface PlanNode {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Cond'?: string;
  'Recheck Cond'?: string;
  Filter?: string;
  Plans?: PlanNode[];
}

/** Without what is read in an index's order as far as a limit. */
function nodesOf(node: PlanNode): PlanNode[] {
  const isLimited = (below: PlanNode) => node['Node Type'] === 'Limit' && /^Index/.test(below['Node Type']);
  return [node, ...(node.Plans ?? []).filter((below) => !isLimited(below)).flatMap(nodesOf)];
}

/** How the statement reads tables of the large merchant, as it is planned now. */
async function readsOf({ query, isByKeys }: Recorded): Promise<PlanNode[]> {
  const values = [large, ...(query.values ?? []).slice(1)];
  return matching.ledger.database.transaction({ merchantIds: [large] }, Deadline.after(60_000), async (client) => {
    if (isByKeys) await client.query({ text: PLAN_BY_KEYS });
    const explain = { text: `EXPLAIN (FORMAT JSON) ${query.text}`, values };
    const { rows } = await client.query<{ 'QUERY PLAN': string | { Plan: PlanNode }[] }>(explain);
    const told = rows[0]?.['QUERY PLAN'];
    const [plan] = (typeof told === 'string' ? JSON.parse(told) : told) as { Plan: PlanNode }[];
    return nodesOf(plan?.Plan as PlanNode).filter((node) => node['Relation Name'] && /Scan/.test(node['Node Type']));
  });
}

/** Reads of large tables by anything but a key. */
async function strayReads(): Promise<string[]> {
  const strays: string[] = [];
  for (const one of recorded.values()) {
    if (!TABLES.test(one.query.text)) continue;
    for (const read of await readsOf(one)) {
      const keys = KEYS[read['Relation Name'] as string];
      const by = read['Index Cond'] ?? read['Recheck Cond'] ?? 'nothing';
      if (read['Relation Name'] === 'breaks' && OPEN_BREAKS.test(one.query.text.replace(/\s+/g, ' '))) continue;
      if (keys === undefined || (/merchant_id =/.test(by) && keys.test(by))) continue;
      const how = `${read['Node Type']} of ${read['Relation Name']} by ${by}, not by ${read.Filter}`;
      strays.push(`${how}: ${one.query.text.replace(/\s+/g, ' ').slice(0, 150)}`);
    }
  }
  return strays;
}

/** $1 merchant, $2 first id, $3 from, $4 until. */
const FILL = [
  `INSERT INTO payments (merchant_id, id, subject, created_at, provider, provider_ref, status, currency, amount, amount_authorised, amount_capturable,
     amount_captured, amount_refunded, amount_disputed, amount_settled, parts, transactions)
   SELECT $1, $2::bigint + n, 'adyen/r' || n, snowflake_time($2::bigint + n), 'adyen', 'r' || n, 'captured', 'EUR', 0, 0, 0, 0, 0, 0, 0, '{}', '{}'
     FROM generate_series($3::int, $4::int) n`,
  `INSERT INTO payment_facts (merchant_id, subject, fact_id, id, received_at, occurred_at, source, event_id, type, amount, object_ref, more, outcome)
   SELECT $1, 'adyen/r' || n, 'c', $2::bigint + n, snowflake_time($2::bigint + n), now(), 'provider', 'c' || n, 'captured', 5, 'c' || n, '{}', 'applied'
     FROM generate_series($3::int, $4::int) n`,
  `INSERT INTO report_rows (merchant_id, source, identity, reconciliation_id, line, type, reference, object_ref, gross, fee, net, currency, occurred_at,
     batch, match_reconciliation_id, match_line, rule)
   SELECT $1, 'adyen_settlement_detail', md5(n::text)::uuid, $2::bigint, n, 'payment', 'r' || n, 'c' || n, 5, 0, 5, 'EUR', now(), 'b' || n / 1000, $2::bigint, n, 'exact'
     FROM generate_series($3::int, $4::int) n`,
  `INSERT INTO report_staging (merchant_id, reconciliation_id, line, identity, type, reference, object_ref, gross, fee, net, currency, occurred_at)
   SELECT $1, $2::bigint, n, md5('s' || n)::uuid, 'payment', 'r' || n, 'c' || n, 5, 0, 5, 'EUR', now() FROM generate_series($3::int, $4::int) n`,
  `INSERT INTO reconciled_items (merchant_id, item, match_reconciliation_id, match_line)
   SELECT $1, 'payment/' || ($2::bigint + n) || '/payment/c' || n, $2::bigint, n FROM generate_series($3::int, $4::int) n`,
  `INSERT INTO breaks (merchant_id, id, created_at, reconciliation_id, fingerprint, kind, status, reference, item, row_source, row_identity)
   SELECT $1, $2::bigint + n, snowflake_time($2::bigint + n), $2::bigint, 'missing_in_report/' || n, 'missing_in_report', 'open', 'r' || n, 'payment/x' || n,
          'adyen_settlement_detail', md5('b' || n)::uuid FROM generate_series($3::int, $4::int) n`,
];

async function fill(from: number, until: number): Promise<void> {
  const first = matching.ledger.ids.next();
  await asAdmin(on.ownerUrl, async (owner) => {
    for (const text of FILL) await owner.query(text, [String(large), String(first), from, until]);
  });
}

/** What is of no other statement of matching and closing. */
const STATEMENTS = [
  'ordinary AS MATERIALIZED',
  'line = ANY ($8::bigint[])',
  'unnest($8::bigint[])',
  'bank_rows AS',
  'followers AS',
  'last AS MATERIALIZED',
  'json_to_recordset($3::json)',
  'unexplained AS',
  'RECURSIVE names',
  'proposed AS',
  'SELECT occurred_at AS until',
  'totals = (',
];

test('each statement of matching and closing is among those that are looked at', () => {
  const texts = [...recorded.keys()];
  expect(STATEMENTS.filter((part) => !texts.some((text) => text.includes(part)))).toEqual([]);
});

test('rows are found by keys while tables are full and have no statistics', async () => {
  await fill(1, ROWS);
  expect(await strayReads()).toEqual([]);
}, 120_000);

test('rows are found by keys when tables are known', async () => {
  await asAdmin(on.ownerUrl, (owner) => owner.query('ANALYZE'));
  expect(await strayReads()).toEqual([]);
}, 120_000);

test('rows are found by keys where tables have grown since anybody looked', async () => {
  await asAdmin(on.ownerUrl, (owner) => owner.query(`TRUNCATE ${Object.keys(KEYS).join(', ')}`));
  await fill(1, 100);
  await asAdmin(on.ownerUrl, (owner) => owner.query('ANALYZE'));
  await fill(101, ROWS);
  expect(await strayReads()).toEqual([]);
}, 120_000);
