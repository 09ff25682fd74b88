import { afterAll, beforeAll, expect, test } from 'vitest';
import { Deadline } from '#platform/deadline.js';
import { closeReport, lookAgain } from '#reconciliation/closing/close-report.js';
import type { MatchedReport } from '#reconciliation/matching/match-report.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { BANK, NOON_MS, PERIOD, type PlannedRow, TestMatching } from './support/matching.js';

const DAY_MS = 86_400_000;
const GENERIC = { source: 'generic', provider: undefined };

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

async function kindsOf(merchantId: bigint): Promise<string[]> {
  return (await matching.breaksOf(merchantId)).map(({ kind, status }) => `${kind} ${status}`);
}

async function countsOf({ merchantId, id }: MatchedReport) {
  const [row] = await matching.read<{ matched: bigint; repeated: bigint; expected: bigint; totals: string }>(
    merchantId,
    {
      text: 'SELECT matched, repeated, expected, totals FROM reconciliations WHERE merchant_id = $1 AND id = $2',
      values: [merchantId, id],
    },
  );
  return (
    row && {
      matched: Number(row.matched),
      repeated: Number(row.repeated),
      expected: Number(row.expected),
      totals: JSON.parse(row.totals),
    }
  );
}

async function eventsOf(merchantId: bigint): Promise<string[]> {
  const rows = await matching.read<{ told: string }>(merchantId, {
    text: `SELECT type || ' ' || (data ->> 'kind') AS told FROM events WHERE merchant_id = $1 AND type LIKE 'break.%' ORDER BY xid, seq`,
    values: [merchantId],
  });
  return rows.map(({ told }) => told);
}

const ROWS: PlannedRow[] = [
  { line: 2, ref: 'P', object: 'c', gross: 1_000, fee: 30, identity: 'a' },
  { line: 3, ref: 'Q', gross: 500, identity: 'b' },
];

test('the same report again changes nothing, and neither do rows of it in another one', async () => {
  const merchantId = await matching.ledger.createMerchant();
  await matching.pay(merchantId, { ref: 'P', captures: [{ ref: 'c', amount: 1_000 }] });
  const first = await reconcile(merchantId, ROWS, PERIOD);
  const again = await reconcile(merchantId, ROWS, PERIOD);
  const third = await reconcile(merchantId, [
    { line: 2, ref: 'R', gross: 5 },
    ...ROWS.slice(0, 1).map((row) => ({ ...row, line: 9 })),
  ]);
  expect(await countsOf(first)).toEqual({
    matched: 1,
    repeated: 0,
    expected: 0,
    totals: [{ currency: 'EUR', rows: 2, gross: '1500', fee: '30', net: '1470', matched: '970', unmatched: '500' }],
  });
  expect(await countsOf(again)).toMatchObject({ matched: 1, repeated: 2 });
  expect(await countsOf(third)).toMatchObject({ matched: 1, repeated: 1 });
  expect(await kindsOf(merchantId)).toEqual(['missing_in_ledger open', 'missing_in_ledger open']);
  expect(await eventsOf(merchantId)).toEqual(['break.opened missing_in_ledger', 'break.opened missing_in_ledger']);
});

test('what is not told is missing once its time is up, until then it is expected and looked at again', async () => {
  const merchantId = await matching.ledger.createMerchant();
  await matching.pay(merchantId, {
    ref: 'P',
    captures: [{ ref: 'c', amount: 1_000 }],
    refunds: [{ ref: 'r', amount: 10, status: 'failed' }],
  });
  await matching.pay(merchantId, { ref: 'W', disputes: [{ ref: 'd', amount: 300, outcome: 'won' }] });
  await matching.pay(merchantId, { ref: 'other', provider: 'stripe', captures: [{ amount: 1 }] });
  await matching.pay(merchantId, { ref: 'outside', captures: [{ amount: 2, day: 1 }] });
  const slaDays = Math.ceil((Date.now() - NOON_MS) / DAY_MS);
  const report = await reconcile(merchantId, [], { ...PERIOD, slaDays });
  expect(await countsOf(report)).toMatchObject({ expected: 1 });
  expect(await kindsOf(merchantId)).toEqual([]);
  const due = await matching.read<{ due_at: number; subject_id: bigint }>(merchantId, {
    text: `SELECT due_at, subject_id FROM due_rows WHERE merchant_id = $1 AND kind = 'reconciliation'`,
    values: [merchantId],
  });
  expect(due).toEqual([{ due_at: NOON_MS + slaDays * DAY_MS, subject_id: report.id }]);
  // As if its time were up.
  await lookAgain(matching.matching, { ...report, slaDays: 0 }, within);
  await lookAgain(matching.matching, { ...report, slaDays: 0 }, within);
  const [missing, ...more] = await matching.breaksOf(merchantId);
  expect(missing).toMatchObject({
    kind: 'missing_in_report',
    item: 'payment/c',
    reference: 'P',
    difference: -1_000,
    expected: { amount: '1000' },
  });
  expect(more).toEqual([]);
  expect(await countsOf(report)).toMatchObject({ expected: 0 });
});

test('a later row ends the break of an item that nobody had told, and says so', async () => {
  const merchantId = await matching.ledger.createMerchant();
  await matching.pay(merchantId, { ref: 'P', captures: [{ ref: 'c', amount: 1_000 }] });
  await reconcile(merchantId, [], PERIOD);
  expect(await kindsOf(merchantId)).toEqual(['missing_in_report open']);
  const later = await reconcile(merchantId, [{ line: 7, ref: 'P', object: 'c', gross: 1_000 }]);
  const [ended] = await matching.breaksOf(merchantId);
  const row = { source: later.source, line: 7, reconciliation_id: String(later.id) };
  expect(ended).toMatchObject({ status: 'auto_resolved', resolution: { row } });
  expect(await eventsOf(merchantId)).toEqual(['break.opened missing_in_report', 'break.resolved missing_in_report']);
});

test('a row that was nowhere in the ledger is matched when its payment turns up, with the next report', async () => {
  const merchantId = await matching.ledger.createMerchant();
  const early = await reconcile(merchantId, [{ line: 2, ref: 'P', object: 'c', gross: 1_000 }]);
  expect(await kindsOf(merchantId)).toEqual(['missing_in_ledger open']);
  await matching.pay(merchantId, { ref: 'P', captures: [{ ref: 'c', amount: 1_000 }] });
  await reconcile(merchantId, [], PERIOD);
  await reconcile(merchantId, [], PERIOD);
  expect(await kindsOf(merchantId)).toEqual(['missing_in_ledger auto_resolved']);
  expect(await matching.rowsOf(early)).toEqual({ 2: 'exact 2' });
  expect(await countsOf(early)).toMatchObject({ matched: 1 });
  expect(await eventsOf(merchantId)).toEqual(['break.opened missing_in_ledger', 'break.resolved missing_in_ledger']);
});

test('what a break may be about is not missing as well', async () => {
  const merchantId = await matching.ledger.createMerchant();
  await matching.pay(merchantId, { ref: 'P', captures: [{ amount: 500 }, { amount: 500 }] });
  await reconcile(merchantId, [{ line: 2, ref: 'P', gross: 500 }], PERIOD);
  const [found, ...more] = await matching.breaksOf(merchantId);
  expect(found).toMatchObject({
    kind: 'ambiguous',
    candidates: [{ amount: '500', proposed: false }, { amount: '500' }],
  });
  expect(more).toEqual([]);
});

const BATCH: PlannedRow[] = [
  { line: 2, ref: 'P', object: 'c', gross: 1_000, fee: 30, batch: '4' },
  { line: 3, type: 'fee', gross: -20, batch: '4' },
];

test('a batch that comes to zero with its payout is whole, and its fees are matched with it', async () => {
  const merchantId = await matching.ledger.createMerchant();
  await matching.pay(merchantId, { ref: 'P', captures: [{ ref: 'c', amount: 1_000 }] });
  const report = await reconcile(merchantId, [...BATCH, { line: 4, type: 'payout', gross: -950, batch: '4' }]);
  expect(await matching.rowsOf(report)).toEqual({ 2: 'exact 2', 3: 'batch 3', 4: 'batch 3' });
  expect(await kindsOf(merchantId)).toEqual([]);
  expect(await countsOf(report)).toMatchObject({ matched: 3 });
});

test('a batch that does not come to what was paid out is one break, and ends when a later report has the rest', async () => {
  const merchantId = await matching.ledger.createMerchant();
  await matching.pay(merchantId, { ref: 'P', captures: [{ ref: 'c', amount: 1_000 }] });
  const report = await reconcile(merchantId, [...BATCH, { line: 4, type: 'payout', gross: -945, batch: '4' }]);
  const [found] = await matching.breaksOf(merchantId);
  expect(found).toMatchObject({ kind: 'payout_mismatch', status: 'open', reference: '4', difference: 5 });
  expect(await matching.rowsOf(report)).toEqual({ 2: 'exact 2', 3: null, 4: null });
  const rest = await reconcile(merchantId, [{ line: 2, type: 'other', gross: -5, batch: '4' }]);
  expect(await kindsOf(merchantId)).toEqual(['payout_mismatch auto_resolved']);
  expect(await matching.rowsOf(report)).toEqual({ 2: 'exact 2', 3: 'batch 3', 4: 'batch 3' });
  expect(await countsOf(rest)).toMatchObject({ matched: 1 });
});

test('a batch of Stripe is what is paid out, without a row that says so', async () => {
  const merchantId = await matching.ledger.createMerchant();
  await matching.pay(merchantId, { ref: 'P', provider: 'stripe', captures: [{ amount: 1_000 }] });
  const stripe = { source: 'stripe_payout_reconciliation', provider: 'stripe' };
  const report = await reconcile(merchantId, BATCH, stripe);
  expect(await matching.rowsOf(report)).toEqual({ 2: 'pairs 2', 3: 'batch 3' });
  expect(await kindsOf(merchantId)).toEqual([]);
});

test('what the processor has told as settled of a batch must be what its payments come to', async () => {
  const merchantId = await matching.ledger.createMerchant();
  const settlements = [{ ref: '4', amount: 1_000, fee: 25 }];
  await matching.pay(merchantId, { ref: 'P', captures: [{ ref: 'c', amount: 1_000 }], settlements });
  await reconcile(merchantId, [...BATCH, { line: 4, type: 'payout', gross: -950, batch: '4' }]);
  const found = (await matching.breaksOf(merchantId)).map(({ kind, difference }) => [kind, difference]);
  expect(found).toEqual([
    ['fee_mismatch', 5],
    ['payout_mismatch', -5],
  ]);
});

async function payOut(merchantId: bigint, amount: number, status: string): Promise<bigint> {
  const id = matching.ledger.ids.next();
  const at = (word: string, days: number) => ({
    status: word,
    at: new Date(NOON_MS + days * 3_600_000).toISOString(),
    detail: null,
    transaction_id: null,
  });
  const timeline = [at('paid', 0), ...(status === 'paid' ? [] : [at(status, 1)])];
  await matching.write(merchantId, {
    text: `INSERT INTO payouts (merchant_id, id, created_at, amount, currency, fee, destination, status, transactions, timeline)
           VALUES ($1, $2, snowflake_time($2), $3, 'EUR', 0, 'd', $4, '{}', $5)`,
    values: [merchantId, id, amount, status, JSON.stringify(timeline)],
  });
  return id;
}

test('a bank’s statement: payouts by our id, returns, and batches by their names', async () => {
  const merchantId = await matching.ledger.createMerchant();
  await matching.pay(merchantId, { ref: 'P', captures: [{ ref: 'c', amount: 1_000 }] });
  await reconcile(merchantId, [...BATCH, { line: 4, type: 'payout', gross: -950, batch: '4' }]);
  const [paid, returned, failed, less] = await Promise.all(
    [
      [700, 'paid'],
      [80, 'returned'],
      [9, 'failed'],
      [50, 'paid'],
    ].map(([amount, status]) => payOut(merchantId, amount as number, status as string)),
  );
  const statement = await reconcile(
    merchantId,
    [
      { line: 1, type: 'payout', ref: String(paid), gross: -700 },
      { line: 2, type: 'payout', ref: String(returned), gross: -80 },
      { line: 3, type: 'payout', ref: String(returned), gross: 80 },
      { line: 4, type: 'payout', ref: String(failed), gross: -9 },
      { line: 5, type: 'payout', ref: String(less), gross: -49 },
      { line: 6, type: 'payout', ref: 'NOTPROVIDED', gross: -5 },
      { line: 7, type: 'other', batch: 'ADYEN BATCH 4', gross: 950 },
      { line: 8, type: 'other', batch: 'ADYEN BATCH 5', gross: 950 },
      { line: 9, type: 'payout', ref: String(paid), gross: -700 },
      { line: 10, type: 'payout', ref: String(less), gross: 50 },
    ],
    BANK,
  );
  expect(await matching.rowsOf(statement)).toEqual({
    1: 'exact 1',
    2: 'exact 2',
    3: 'exact 3',
    4: null,
    5: null,
    6: null,
    7: 'exact 7',
    8: null,
    9: null,
    10: null,
  });
  const found = await matching.breaksOf(merchantId);
  const unknown = 'No payout and no batch is known by this name.';
  expect(found.map(({ line, kind, item, difference, detail }) => [line, kind, item, difference, detail])).toEqual([
    [4, 'status_mismatch', `payout/${failed}`, -9, 'The payout failed here.'],
    [5, 'payout_mismatch', `payout/${less}`, 1, 'Told with another amount than the ledger has.'],
    [6, 'missing_in_ledger', null, -5, unknown],
    [8, 'missing_in_ledger', null, 950, unknown],
    [9, 'duplicate', null, -700, 'Another row has told this already.'],
    [10, 'status_mismatch', `return/${less}`, 50, 'The payout has not come back here.'],
  ]);
  expect(found.slice(2, 4).map(({ reference }) => reference)).toEqual(['NOTPROVIDED', 'ADYEN BATCH 5']);
});

test('what a bank’s statement of the period does not have is missing: payouts, returns and batches', async () => {
  const merchantId = await matching.ledger.createMerchant();
  await matching.pay(merchantId, { ref: 'P', captures: [{ ref: 'c', amount: 1_000 }] });
  await reconcile(merchantId, [...BATCH, { line: 4, type: 'payout', gross: -950, batch: '4' }]);
  const paid = await payOut(merchantId, 700, 'paid');
  const returned = await payOut(merchantId, 80, 'returned');
  await payOut(merchantId, 9, 'failed');
  // Payouts have the ids of today, and happened at noon.
  await reconcile(merchantId, [], { ...BANK, ...PERIOD, periodToMs: Date.now() + DAY_MS });
  const found = (await matching.breaksOf(merchantId)).map(({ kind, item, difference }) => [kind, item, difference]);
  expect(found).toEqual([
    ['missing_in_report', 'batch/adyen_settlement_detail/4/EUR', -950],
    ['missing_in_report', `payout/${paid}`, 700],
    ['missing_in_report', `payout/${returned}`, 80],
    ['missing_in_report', `return/${returned}`, -80],
  ]);
});

test('a batch that the bank had told before its processor did is matched with the processor’s report at the next statement', async () => {
  const merchantId = await matching.ledger.createMerchant();
  const statement = await reconcile(merchantId, [{ line: 1, type: 'other', batch: '4', gross: 950 }], BANK);
  await matching.pay(merchantId, { ref: 'P', captures: [{ ref: 'c', amount: 1_000 }] });
  await reconcile(merchantId, [...BATCH, { line: 4, type: 'payout', gross: -950, batch: '4' }]);
  await reconcile(merchantId, [], BANK);
  expect(await kindsOf(merchantId)).toEqual(['missing_in_ledger auto_resolved']);
  expect(await matching.rowsOf(statement)).toEqual({ 1: 'exact 1' });
});

test('rows of several statements that are looked at again are told apart, whatever their lines', async () => {
  const merchantId = await matching.ledger.createMerchant();
  const first = await reconcile(merchantId, [{ line: 1, type: 'other', batch: '9', gross: 950 }], BANK);
  const second = await reconcile(merchantId, [{ line: 1, type: 'other', batch: '4', gross: 950 }], BANK);
  await matching.pay(merchantId, { ref: 'P', captures: [{ ref: 'c', amount: 1_000 }] });
  await reconcile(merchantId, [...BATCH, { line: 4, type: 'payout', gross: -950, batch: '4' }]);
  await reconcile(merchantId, [], BANK);
  expect(await matching.rowsOf(first)).toEqual({ 1: null });
  expect(await matching.rowsOf(second)).toEqual({ 1: 'exact 1' });
});

test('a credit that names two batches is of neither, takes nothing from who names one, and neither is missing', async () => {
  const merchantId = await matching.ledger.createMerchant();
  const rows: PlannedRow[] = [
    { line: 2, type: 'other', gross: 500, batch: '4' },
    { line: 3, type: 'other', gross: 500, batch: '5' },
    { line: 4, type: 'payout', gross: -500, batch: '4' },
    { line: 5, type: 'payout', gross: -500, batch: '5', day: 0.5 },
  ];
  await reconcile(merchantId, rows);
  await reconcile(merchantId, [{ line: 1, type: 'other', batch: '4 5', gross: 500 }], { ...BANK, ...PERIOD });
  expect(await kindsOf(merchantId)).toEqual(['ambiguous open']);
  const one = await reconcile(merchantId, [{ line: 1, type: 'other', batch: '4', gross: 500 }], BANK);
  expect(await matching.rowsOf(one)).toEqual({ 1: 'exact 1' });
  const both = [
    { line: 1, type: 'other', batch: '4 and 5', gross: 500 },
    { line: 2, type: 'other', batch: '4', gross: 500 },
  ];
  const other = await matching.ledger.createMerchant();
  await reconcile(other, rows);
  expect(await matching.rowsOf(await reconcile(other, both, BANK))).toEqual({ 1: null, 2: 'exact 2' });
});

test('of two credits in another currency the first holds the batch that both name, whatever their amounts', async () => {
  const merchantId = await matching.ledger.createMerchant();
  await reconcile(merchantId, [{ line: 2, type: 'other', gross: 500, batch: '4' }]);
  const rows = [300, 500].map((gross, line) => ({ line, type: 'other', batch: '4', currency: 'USD', gross }) as const);
  await reconcile(merchantId, rows, BANK);
  const holding = (await matching.breaksOf(merchantId)).filter(({ item }) => item?.startsWith('batch/'));
  expect(holding.map(({ line }) => line)).toEqual([0]);
});

test('balances of a statement that its entries do not explain are a break', async () => {
  const merchantId = await matching.ledger.createMerchant();
  const report = await matching.stage(merchantId, [], BANK);
  const statements = [
    { id: 'S1', account: 'A', currency: 'EUR', opening: '100', closing: '90', entries: '-10' },
    { id: 'S2', account: 'A', currency: 'EUR', opening: '90', closing: '91', entries: '0' },
    { id: 'S3', account: 'A', currency: 'EUR', opening: null, closing: '91', entries: '0' },
  ];
  await matching.write(merchantId, {
    text: 'UPDATE reconciliations SET statements = $3 WHERE merchant_id = $1 AND id = $2',
    values: [merchantId, report.id, JSON.stringify(statements)],
  });
  await closeReport(matching.matching, report, within);
  const found = (await matching.breaksOf(merchantId)).map(({ kind, reference, difference }) => [
    kind,
    reference,
    difference,
  ]);
  expect(found).toEqual([['payout_mismatch', 'S2', 1]]);
});

test('sums that no bigint holds are breaks like others, which tell both sides and no difference', async () => {
  const merchantId = await matching.ledger.createMerchant();
  const most = 2 ** 62;
  const rows = [2, 3, 4].map((line) => ({ line, type: 'other', gross: most, batch: 'B' }));
  await reconcile(merchantId, rows, PERIOD);
  await reconcile(merchantId, [{ line: 1, type: 'other', ref: 'B', gross: -1 }], BANK);
  const statement = {
    id: 'S',
    account: 'A',
    currency: 'EUR',
    opening: '0',
    closing: '-5',
    entries: '9223372036854775803',
  };
  const report = await matching.stage(merchantId, [], BANK);
  await matching.write(merchantId, {
    text: 'UPDATE reconciliations SET statements = $3 WHERE merchant_id = $1 AND id = $2',
    values: [merchantId, report.id, JSON.stringify([statement])],
  });
  await closeReport(matching.matching, report, within);
  const found = (await matching.breaksOf(merchantId)).map(({ kind, reference, difference }) => [
    kind,
    reference,
    difference,
  ]);
  expect(found).toEqual([
    ['payout_mismatch', 'B', null],
    ['payout_mismatch', 'B', null],
    ['payout_mismatch', 'S', null],
  ]);
});

test('by any provider: a generic report', async () => {
  const merchantId = await matching.ledger.createMerchant();
  await matching.pay(merchantId, { ref: 'P', provider: 'acme', captures: [{ amount: 1_000 }] });
  const report = await reconcile(merchantId, [{ line: 2, ref: 'P', gross: 1_000 }], GENERIC);
  expect(await matching.rowsOf(report)).toEqual({ 2: 'pairs 2' });
});

test('items that come to a row of nothing known are proposed, and not matched', async () => {
  const merchantId = await matching.ledger.createMerchant();
  await matching.pay(merchantId, {
    ref: 'P',
    captures: [{ ref: 'a', amount: 300 }],
    refunds: [{ ref: 'r', amount: 1_000 }],
  });
  await matching.pay(merchantId, { ref: 'Q', captures: [{ ref: 'b', amount: 700, day: 7 }] });
  await matching.pay(merchantId, { ref: 'R', captures: [{ ref: 'far', amount: 1_000, day: 8 }] });
  await matching.pay(merchantId, { ref: 'S', captures: [{ ref: 'told', amount: 1_000 }] });
  const report = await reconcile(merchantId, [
    { line: 2, ref: 'together', gross: 1_000 },
    { line: 3, ref: 'S', object: 'told', gross: 1_000 },
    { line: 4, ref: 'nothing', gross: 999 },
  ]);
  const found = (await matching.breaksOf(merchantId)).map(({ line, candidates }) => [
    line,
    candidates?.map(({ item, proposed }) => [item?.replace(/^payment\/\d+\//, ''), proposed]) ?? null,
  ]);
  expect(found).toEqual([
    [
      2,
      [
        ['payment/a', true],
        ['payment/b', true],
      ],
    ],
    [4, null],
  ]);
  expect(await matching.rowsOf(report)).toEqual({ 2: null, 3: 'exact 3', 4: null });
});

test('batches that come to a bank’s row are proposed', async () => {
  const merchantId = await matching.ledger.createMerchant();
  for (const batch of ['4', '5']) {
    await reconcile(merchantId, [
      { line: 3, type: 'fee', gross: 950, batch },
      { line: 4, type: 'payout', gross: -950, batch },
    ]);
  }
  await reconcile(merchantId, [{ line: 1, type: 'other', batch: 'ADYEN', gross: 1_900 }], BANK);
  const [found] = await matching.breaksOf(merchantId);
  expect(found?.candidates?.map(({ item, proposed }) => [item, proposed])).toEqual([
    ['batch/adyen_settlement_detail/4/EUR', true],
    ['batch/adyen_settlement_detail/5/EUR', true],
  ]);
});
