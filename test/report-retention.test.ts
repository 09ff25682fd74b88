import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { verify } from '#platform/verify.js';
import { RECONCILIATION_CHECKS } from '#reconciliation/checks.js';
import type { MatchedReport } from '#reconciliation/matching/match-report.js';
import { forgetReports } from '#reconciliation/retention/forget-reports.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { type PlannedRow, TestMatching } from './support/matching.js';
import { offendersOf } from './support/verified.js';

const DAY_MS = 86_400_000;
const RETENTION = { reportsMs: 1_000 * DAY_MS, badRowsMs: 90 * DAY_MS, checksMs: 50 * DAY_MS };
const TABLES = ['reconciliations', 'report_rows', 'report_bad_rows', 'report_staging', 'reconciled_items', 'breaks'];

let on: TestDatabase;
let matching: TestMatching;
let shop: bigint;

beforeAll(async () => {
  on = await freshDatabase();
  matching = await TestMatching.open(on);
});
beforeEach(async () => {
  shop = await matching.ledger.createMerchant();
});
afterAll(async () => {
  expect(offendersOf(await verify(on.runtimeUrl, RECONCILIATION_CHECKS))).toEqual({});
  await matching.close();
  await on.drop();
});

const sql = (text: string, values: unknown[] = [shop]) =>
  asAdmin(on.ownerUrl, async (owner) => (await owner.query(text, values)).rows);
const afterDays = (days: number) => forgetReports(matching.ledger.database, RETENTION, Date.now() + days * DAY_MS);

/** How many rows each table has of the merchant, but for those that have none. */
async function kept(): Promise<Record<string, number>> {
  const counts = TABLES.map(
    (table) => `SELECT '${table}' AS name, count(*)::int AS count FROM ${table} WHERE merchant_id = $1`,
  );
  const rows = await sql(counts.join(' UNION ALL '));
  return Object.fromEntries(rows.flatMap(({ name, count }) => (count > 0 ? [[name, count]] : [])));
}

const PAID: PlannedRow = { line: 2, ref: 'psp', object: 'c1', gross: 500, identity: 'paid' };

async function told(rows: PlannedRow[]): Promise<MatchedReport> {
  const report = await matching.stage(shop, rows);
  await matching.match(report);
  await sql(
    `UPDATE reconciliations SET status = 'completed', completed_at = now() WHERE merchant_id = $1 AND id = $2`,
    [shop, report.id],
  );
  return report;
}

const pay = () => matching.pay(shop, { ref: 'psp', captures: [{ ref: 'c1', amount: 500 }] });

/** As it begins: without rows. */
const began = (id: bigint, source: string, status: string, more = 'NULL') =>
  sql(
    `INSERT INTO reconciliations (merchant_id, id, created_at, source, sla_days, status, failure, completed_at, period_to)
     VALUES ($1, $2, snowflake_time($2), $3, 3, $4, CASE $4 WHEN 'failed' THEN 'x' END, CASE $4 WHEN 'completed' THEN now() END, ${more})`,
    [shop, id, source, status],
  );

describe('a report that is old', () => {
  test('is forgotten with its rows, and what they matched stays matched', async () => {
    await pay();
    const { id } = await told([PAID]);
    await sql(
      `INSERT INTO report_rows (merchant_id, source, identity, reconciliation_id, line, type, gross, fee, net, currency, occurred_at)
       SELECT $1, 'generic', gen_random_uuid(), $2, n, 'other', 1, 0, 1, 'EUR', now() FROM generate_series(3, 50002) n`,
      [shop, id],
    );
    await afterDays(999);
    expect(await kept()).toEqual({ reconciliations: 1, report_rows: 50_001, reconciled_items: 1 });
    await afterDays(1_001);
    expect(await kept()).toEqual({ reconciled_items: 1 });
    const again = await told([PAID]);
    expect(await matching.rowsOf(again)).toEqual({ 2: null });
    expect(await matching.breaksOf(shop)).toMatchObject([{ kind: 'duplicate', status: 'open' }]);
    expect(await kept()).toMatchObject({ reconciled_items: 1 });
  });

  test('stays while a break of it is open, or one of another report that holds a row of its', async () => {
    await told([{ line: 2, ref: 'nobody', gross: 100 }]);
    await told([{ line: 2, ref: 'nobody else', gross: 100 }]);
    const [{ newest }] = await sql('SELECT max(id)::text AS newest FROM reconciliations WHERE merchant_id = $1');
    await sql('UPDATE breaks SET reconciliation_id = $2 WHERE merchant_id = $1', [shop, newest]);
    await afterDays(1_001);
    expect(await kept()).toEqual({ reconciliations: 2, report_rows: 2, breaks: 2 });
    await sql(`UPDATE breaks SET status = 'written_off', resolution = '{}' WHERE merchant_id = $1`);
    await afterDays(1_001);
    expect(await kept()).toEqual({ breaks: 2 });
  });

  test('stays while it is to be looked at again, or is not done', async () => {
    const { id } = await told([{ line: 2, type: 'fee', gross: -1 }]);
    await sql(
      `INSERT INTO due_rows (merchant_id, kind, subject_id, due_at, try_at) VALUES ($1, 'reconciliation', $2, date_trunc('milliseconds', now()), now())`,
      [shop, id],
    );
    await began(matching.ledger.ids.next(), 'generic', 'matching');
    await afterDays(1_001);
    expect(await kept()).toMatchObject({ reconciliations: 2 });
    await sql('DELETE FROM due_rows WHERE merchant_id = $1');
    await afterDays(1_001);
    expect(await kept()).toEqual({ reconciliations: 1 });
  });

  test('is forgotten to its end by whoever comes after one that died in the middle, and is no fault meanwhile', async () => {
    await pay();
    await told([PAID]);
    await sql('UPDATE reconciliations SET forgotten_at = now() WHERE merchant_id = $1');
    await sql('DELETE FROM report_rows WHERE merchant_id = $1');
    expect(offendersOf(await verify(on.runtimeUrl, RECONCILIATION_CHECKS))).toEqual({});
    await afterDays(0);
    expect(await kept()).toEqual({ reconciled_items: 1 });
  });
});

test('bad rows and uploads that failed are forgotten sooner', async () => {
  const { id } = await told([{ line: 2, type: 'fee', gross: -1 }]);
  await sql(`INSERT INTO report_bad_rows SELECT $1, $2, n, 'x', 'y' FROM generate_series(1, 50001) n`, [shop, id]);
  await began(matching.ledger.ids.next(), 'generic', 'failed');
  await afterDays(89);
  expect(await kept()).toEqual({ reconciliations: 2, report_rows: 1, report_bad_rows: 50_001 });
  await afterDays(91);
  expect(await kept()).toEqual({ reconciliations: 1, report_rows: 1 });
});

test('what failed while it was matched is kept as long as others, and goes with what is staged', async () => {
  const report = await matching.stage(shop, [PAID]);
  await sql(`UPDATE reconciliations SET status = 'failed', failure = 'x', tries = 7 WHERE merchant_id = $1`);
  await afterDays(91);
  expect(await kept()).toEqual({ reconciliations: 1, report_staging: 1 });
  await afterDays(1_001);
  expect([await kept(), report.id > 0n]).toEqual([{}, true]);
});

test('our own checks are forgotten sooner, but for the last of a merchant', async () => {
  for (const day of [1, 2, 3]) await began(matching.ledger.ids.next(), 'internal', 'completed', `'2026-01-0${day}'`);
  await afterDays(49);
  expect(await kept()).toEqual({ reconciliations: 3 });
  await afterDays(1_001);
  const [last, ...others] = await sql('SELECT period_to FROM reconciliations WHERE merchant_id = $1');
  expect([new Date(last.period_to).getDate(), others]).toEqual([3, []]);
});
