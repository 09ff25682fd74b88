import { afterAll, beforeAll, expect, test } from 'vitest';
import { Deadline } from '#platform/deadline.js';
import { closeReport, lookAgain } from '#reconciliation/closing/close-report.js';
import type { MatchedReport } from '#reconciliation/matching/match-report.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { BANK, PERIOD, type PlannedRow, TestMatching } from './support/matching.js';

/** When breaks end by themselves (docs/reconciliation.md, The law of matching). */

let on: TestDatabase;
let matching: TestMatching;

beforeAll(async () => {
  on = await freshDatabase();
  matching = await TestMatching.open(on);
});
afterAll(async () => {
  await matching.close();
  await on.drop();
});

const within = (): Deadline => Deadline.after(30_000);

const reconcile = (merchantId: bigint, rows: readonly PlannedRow[], more: Partial<MatchedReport> = {}) =>
  matching.reconcile(merchantId, rows, more);

/** Of a merchant with a payment P of these captures. */
async function merchantOf(...captures: { ref?: string; amount: number }[]): Promise<bigint> {
  const merchantId = await matching.ledger.createMerchant();
  await matching.pay(merchantId, { ref: 'P', captures });
  return merchantId;
}

async function kindsOf(merchantId: bigint): Promise<string[]> {
  const found = await matching.breaksOf(merchantId);
  return found.map(({ line, kind, status, item }) => [line ?? '-', kind, status, item ?? ''].join(' ').trim()).sort();
}

async function eventsOf(merchantId: bigint): Promise<string[]> {
  const rows = await matching.read<{ told: string }>(merchantId, {
    text: `SELECT type || ' ' || (data ->> 'kind') AS told FROM events WHERE merchant_id = $1 AND type LIKE 'break.%' ORDER BY xid, seq`,
    values: [merchantId],
  });
  return rows.map(({ told }) => told);
}

const row = (line: number, gross: number, object?: string, more: Partial<PlannedRow> = {}): PlannedRow => {
  return { line, ref: 'P', gross, ...(object !== undefined && { object }), ...more };
};

test.each([
  ['another amount', row(7, 999, 'c'), 'amount_mismatch'],
  ['another currency', row(7, 1_000, 'c', { currency: 'USD' }), 'currency_mismatch'],
])('an item that nobody had told is not missing any more when a row tells it with %s', async (_, told, kind) => {
  const merchantId = await merchantOf({ ref: 'c', amount: 1_000 });
  await reconcile(merchantId, [], PERIOD);
  const later = await reconcile(merchantId, [told], PERIOD);
  expect(await kindsOf(merchantId)).toEqual([
    `- missing_in_report auto_resolved payment/c`,
    `7 ${kind} open payment/c`,
  ]);
  const [ended] = (await matching.breaksOf(merchantId)).filter(({ status }) => status === 'auto_resolved');
  expect(ended?.resolution).toMatchObject({ row: { line: 7, reconciliation_id: String(later.id) } });
  expect(await eventsOf(merchantId)).toEqual([
    'break.opened missing_in_report',
    `break.opened ${kind}`,
    'break.resolved missing_in_report',
  ]);
});

test('items are not missing any more when a row may be of any of them', async () => {
  const merchantId = await merchantOf({ ref: 'a', amount: 500 }, { ref: 'b', amount: 500 });
  await reconcile(merchantId, [], PERIOD);
  await reconcile(merchantId, [row(2, 500)], PERIOD);
  expect(await kindsOf(merchantId)).toEqual([
    '- missing_in_report auto_resolved payment/a',
    '- missing_in_report auto_resolved payment/b',
    '2 ambiguous open',
  ]);
});

test('a break of an amount ends by the row that makes up for it', async () => {
  const merchantId = await merchantOf({ ref: 'c', amount: 1_000 });
  const early = await reconcile(merchantId, [row(2, 900, 'c')], PERIOD);
  expect(await kindsOf(merchantId)).toEqual(['2 amount_mismatch open payment/c']);
  const later = await reconcile(merchantId, [row(3, 100, 'c')], PERIOD);
  expect(await kindsOf(merchantId)).toEqual(['2 amount_mismatch auto_resolved payment/c']);
  expect([await matching.rowsOf(early), await matching.rowsOf(later)]).toEqual([{ 2: 'sum 2' }, { 3: 'sum 2' }]);
  const [ended] = await matching.breaksOf(merchantId);
  expect(ended?.resolution).toMatchObject({
    row: { line: 3, reconciliation_id: String(later.id) },
    items: [expect.stringMatching(/^payment\/\d+\/payment\/c$/)],
  });
});

test('a row that tells it right takes the item, and the one that told it wrong is a duplicate of whoever had its break', async () => {
  const merchantId = await merchantOf({ ref: 'c', amount: 1_000 });
  await reconcile(merchantId, [row(2, 900, 'c')], PERIOD);
  await matching.write(merchantId, {
    text: `UPDATE breaks SET status = 'assigned', assignee = 'ada' WHERE merchant_id = $1`,
    values: [merchantId],
  });
  const later = await reconcile(merchantId, [row(3, 1_000, 'c')], PERIOD);
  expect(await matching.rowsOf(later)).toEqual({ 3: 'exact 3' });
  expect(await kindsOf(merchantId)).toEqual(['2 amount_mismatch auto_resolved payment/c', '2 duplicate assigned']);
  const follow = await matching.read<{ follows: boolean }>(merchantId, {
    text: `SELECT a.resolution ->> 'followed_by' = b.id::text AS follows FROM breaks a, breaks b
            WHERE a.merchant_id = $1 AND b.merchant_id = $1 AND a.kind = 'amount_mismatch' AND b.kind = 'duplicate' AND b.assignee = 'ada'`,
    values: [merchantId],
  });
  expect(follow).toEqual([{ follows: true }]);
});

test('as many rows as items: what was ambiguous is not any more', async () => {
  const merchantId = await merchantOf({ ref: 'a', amount: 500 }, { ref: 'b', amount: 500 });
  const early = await reconcile(merchantId, [row(2, 500)]);
  await reconcile(merchantId, [row(3, 500)]);
  expect(await kindsOf(merchantId)).toEqual(['2 ambiguous auto_resolved']);
  expect(await matching.rowsOf(early)).toEqual({ 2: 'pairs 2' });
});

test('a candidate that is matched is none any more: another break names the others', async () => {
  const merchantId = await merchantOf({ ref: 'a', amount: 500 }, { ref: 'b', amount: 500 }, { ref: 'c', amount: 500 });
  await reconcile(merchantId, [row(2, 500)]);
  await reconcile(merchantId, [row(3, 500, 'b')]);
  const [ended, open] = (await matching.breaksOf(merchantId)).sort((a, b) => (a.status < b.status ? -1 : 1));
  const named = (candidates: typeof ended) => candidates?.candidates?.map(({ item }) => item?.at(-1));
  expect([ended?.status, named(ended)]).toEqual(['auto_resolved', ['a', 'b', 'c']]);
  expect([open?.status, named(open)]).toEqual(['open', ['a', 'c']]);
  const last = await reconcile(merchantId, [row(4, 500, 'c')]);
  expect(await matching.rowsOf(last)).toEqual({ 4: 'exact 4' });
  expect((await matching.breaksOf(merchantId)).filter(({ status }) => status === 'open')).toEqual([]);
});

test('a row of another currency lets go of the item that a row of the right one tells', async () => {
  const merchantId = await merchantOf({ ref: 'c', amount: 1_000 });
  await reconcile(merchantId, [row(2, 1_000, 'c', { currency: 'USD' })]);
  const later = await reconcile(merchantId, [row(3, 1_000, 'c')]);
  expect(await matching.rowsOf(later)).toEqual({ 3: 'exact 3' });
  expect(await kindsOf(merchantId)).toEqual([
    '2 currency_mismatch auto_resolved payment/c',
    '2 currency_mismatch open',
  ]);
});

test('a duplicate is matched when the ledger learns of a second one', async () => {
  const merchantId = await merchantOf({ ref: 'c', amount: 1_000 });
  const report = await reconcile(merchantId, [row(2, 1_000), row(3, 1_000)]);
  expect(await kindsOf(merchantId)).toEqual(['3 duplicate open']);
  await matching.write(merchantId, {
    text: 'UPDATE payments SET parts = $2 WHERE merchant_id = $1',
    values: [merchantId, partsOf('c', 'd')],
  });
  await lookAgain(matching.matching, report, within);
  expect(await matching.rowsOf(report)).toEqual({ 2: 'pairs 2', 3: 'pairs 3' });
  expect(await kindsOf(merchantId)).toEqual(['3 duplicate auto_resolved']);
});

const partsOf = (...refs: string[]) =>
  JSON.stringify({
    captures: refs.map((object_ref) => ({ object_ref, amount: '1000', status: 'succeeded' })),
    refunds: [],
    disputes: [],
    settlements: [],
  });

test('an item of which a break lets go is missing once more', async () => {
  const merchantId = await merchantOf({ amount: 1_000 });
  await reconcile(merchantId, [], PERIOD);
  const report = await reconcile(merchantId, [row(2, 999)], PERIOD);
  expect(await kindsOf(merchantId)).toEqual([
    '- missing_in_report auto_resolved payment/#1000.1',
    '2 amount_mismatch open payment/#1000.1',
  ]);
  await matching.write(merchantId, {
    text: `UPDATE payments SET parts = '{"captures":[{"amount":"1000","status":"succeeded"},{"amount":"999","status":"succeeded"}],"refunds":[],"disputes":[],"settlements":[]}' WHERE merchant_id = $1`,
    values: [merchantId],
  });
  await lookAgain(matching.matching, report, within);
  expect(await matching.rowsOf(report)).toEqual({ 2: 'pairs 2' });
  expect(await kindsOf(merchantId)).toEqual([
    '- missing_in_report auto_resolved payment/#1000.1',
    '- missing_in_report open payment/#1000.1',
    '2 amount_mismatch auto_resolved payment/#1000.1',
  ]);
});

test('what people have ended is not decided again, and its row stays what it is', async () => {
  const merchantId = await merchantOf({ ref: 'c', amount: 1_000 });
  const early = await reconcile(merchantId, [row(2, 900, 'c')], PERIOD);
  await matching.write(merchantId, {
    text: `UPDATE breaks SET status = 'written_off', resolution = '{}' WHERE merchant_id = $1`,
    values: [merchantId],
  });
  await reconcile(merchantId, [row(3, 100, 'c')], PERIOD);
  expect(await matching.rowsOf(early)).toEqual({ 2: null });
  expect(await kindsOf(merchantId)).toEqual([
    '2 amount_mismatch written_off payment/c',
    '3 amount_mismatch open payment/c',
  ]);
});

const S = { id: 'S', account: 'A', currency: 'EUR', opening: '100', closing: '90' };

async function stateOf(merchantId: bigint, entries: string, more: object = {}): Promise<MatchedReport> {
  const report = await matching.stage(merchantId, [], BANK);
  await matching.write(merchantId, {
    text: 'UPDATE reconciliations SET statements = $3 WHERE merchant_id = $1 AND id = $2',
    values: [merchantId, report.id, JSON.stringify([{ ...S, ...more, entries }])],
  });
  await closeReport(matching.matching, report, within);
  return report;
}

async function differencesOf(merchantId: bigint): Promise<string[]> {
  const found = await matching.breaksOf(merchantId);
  return found.map(({ reference, difference, status }) => `${reference} ${difference} ${status}`).sort();
}

test('a statement that adds up ends the break of the one that it corrects, of the same account and id', async () => {
  const merchantId = await matching.ledger.createMerchant();
  await stateOf(merchantId, '-13');
  await stateOf(merchantId, '-13');
  await stateOf(merchantId, '-14', { account: 'B' });
  expect(await differencesOf(merchantId)).toEqual(['S 3 open', 'S 4 open']);
  await stateOf(merchantId, '-12');
  expect(await differencesOf(merchantId)).toEqual(['S 2 open', 'S 3 auto_resolved', 'S 4 open']);
  const corrected = await stateOf(merchantId, '-10');
  expect(await differencesOf(merchantId)).toEqual(['S 2 auto_resolved', 'S 3 auto_resolved', 'S 4 open']);
  const [ended] = (await matching.breaksOf(merchantId)).filter(({ difference }) => difference === 2);
  expect(ended?.resolution).toMatchObject({ reconciliation_id: String(corrected.id) });
  await stateOf(merchantId, '-12');
  expect(await differencesOf(merchantId)).toContain('S 2 open');
});

test('a batch that was whole and is not any more is a break again, and so is one that lacks something else', async () => {
  const merchantId = await matching.ledger.createMerchant();
  const batch = (line: number, type: string, gross: number) => ({ line, type, gross, batch: '4' });
  await reconcile(merchantId, [batch(1, 'fee', -5), batch(2, 'payout', 2)]);
  await reconcile(merchantId, [batch(1, 'other', 1)]);
  expect(await differencesOf(merchantId)).toEqual(['4 -2 open', '4 -3 auto_resolved']);
  await reconcile(merchantId, [batch(1, 'other', 2)]);
  expect(await differencesOf(merchantId)).toEqual(['4 -2 auto_resolved', '4 -3 auto_resolved']);
  await reconcile(merchantId, [batch(1, 'fee', -2)]);
  expect(await differencesOf(merchantId)).toEqual(['4 -2 auto_resolved', '4 -2 open', '4 -3 auto_resolved']);
});

test('a row that an earlier one’s break reaches by its object waits for that one, be it as plain as can be', async () => {
  const merchantId = await matching.ledger.createMerchant();
  const first = await matching.stage(merchantId, [{ line: 2, ref: 'R', object: 'c', gross: 1_000 }]);
  await matching.match(first);
  await matching.pay(merchantId, { ref: 'P', captures: [{ ref: 'c', amount: 1_000 }] });
  // Its row R is looked up by the name of another, and both it and the row of P are of one capture.
  const second = await matching.stage(merchantId, [row(3, 1_000, 'c'), { line: 4, ref: 'R', gross: 5 }]);
  await matching.match(second);
  expect(await matching.rowsOf(first)).toEqual({ 2: 'exact 2' });
  expect(await kindsOf(merchantId)).toEqual([
    '2 missing_in_ledger auto_resolved',
    '3 duplicate open',
    '4 missing_in_ledger open',
  ]);
});
