import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Oracle } from './reconciliation/oracle/oracle.js';
import { type Shown, showOracle } from './reconciliation/oracle/shown.js';
import {
  learn,
  type ToldFact,
  type ToldPayment,
  type ToldReport,
  type ToldRow,
  type World,
} from './reconciliation/oracle/told.js';
import { smallWorld } from './reconciliation/small-worlds.js';
import { SEED } from './support/seed.js';

/** The oracle itself, by worlds that were reckoned by hand from the law's text. */

const NOON_MS = Date.parse('2026-03-10T12:00:00Z');
const DAY_MS = 86_400_000;

const capture = (amount: bigint, objectRef?: string, more: Partial<ToldFact> = {}): ToldFact => {
  return { type: 'captured', amount, atMs: NOON_MS, ...(objectRef !== undefined && { objectRef }), ...more };
};
const paymentOf = (...facts: ToldFact[]): ToldPayment => ({ provider: 'acme', ref: 'P', currency: 'EUR', facts });
const row = (line: number, gross: bigint, objectRef?: string, more: Partial<ToldRow> = {}): ToldRow => {
  const defaults = {
    type: 'payment',
    reference: 'P',
    fee: 0n,
    currency: 'EUR',
    atMs: NOON_MS,
    batch: undefined,
  } as const;
  return { ...defaults, line, identity: String(line), objectRef, gross, ...more };
};
const report = (rows: ToldRow[], more: Partial<ToldReport> = {}): ToldReport => {
  const period = { fromMs: NOON_MS - DAY_MS, toMs: NOON_MS + DAY_MS, slaDays: 3, nowMs: NOON_MS + 10 * DAY_MS };
  return { source: 'generic', provider: undefined, rows, ...period, ...more };
};
function become(world: Partial<World>, ...reports: ToldReport[]): Shown {
  const oracle = new Oracle({ payments: [], payouts: [], ...world });
  for (const one of reports) oracle.reconcile(one);
  return showOracle(oracle);
}
const CAPTURES = 'payment/acme:P/payment';

test('the same object and amount is exact, and a second row of it a duplicate', () => {
  const { rows, items, breaks } = become(
    { payments: [paymentOf(capture(500n, 'c'))] },
    report([row(2, 500n, 'c'), row(3, 500n, 'c')]),
  );
  expect({ rows, items, breaks }).toEqual({
    rows: ['0:2 exact 0:2', '0:3'],
    items: [`${CAPTURES}/c 0:2`],
    breaks: ['duplicate open 0:3 P - 500 '],
  });
});

test('another amount holds row and item, and the item is not missing besides', () => {
  const { breaks } = become({ payments: [paymentOf(capture(500n, 'c'))] }, report([row(2, 499n, 'c')]));
  expect(breaks).toEqual([`amount_mismatch open 0:2 P ${CAPTURES}/c -1 `]);
});

test('one row of an amount that two captures have is ambiguous, and takes neither', () => {
  const { rows, items, breaks } = become(
    { payments: [paymentOf(capture(100n, 'a'), capture(100n, 'b'))] },
    report([row(2, 100n)]),
  );
  expect([rows, items]).toEqual([['0:2'], []]);
  expect(breaks).toEqual([`ambiguous open 0:2 P - - ${CAPTURES}/a+${CAPTURES}/b`]);
});

test('two rows without a name come to one capture', () => {
  const { rows, breaks } = become({ payments: [paymentOf(capture(500n, 'c'))] }, report([row(2, 200n), row(3, 300n)]));
  expect([rows, breaks]).toEqual([['0:2 sum 0:2', '0:3 sum 0:2'], []]);
});

test('the same amount of another payment is nobody’s', () => {
  const { breaks } = become(
    { payments: [paymentOf(capture(500n, 'c'))] },
    report([row(2, 500n, undefined, { reference: 'Q' })]),
  );
  expect(breaks).toEqual(['missing_in_ledger open 0:2 Q - 500 ', `missing_in_report open 0:- P ${CAPTURES}/c -500 `]);
});

test('what is absent is expected until its days are over, and what turns up late ends its break', () => {
  const world = { payments: [paymentOf(capture(500n, 'c'))] };
  const early = report([], { nowMs: NOON_MS + DAY_MS });
  expect(become(world, early)).toMatchObject({ breaks: [], counts: ['0 1'] });
  const late = become(world, report([]), report([row(2, 500n, 'c')]));
  expect(late.breaks).toEqual([`missing_in_report ended 0:- P ${CAPTURES}/c -500 `]);
});

test('a lost dispute is told below zero, one that was won and moved no funds need not be told', () => {
  const dispute = (type: string): ToldFact => ({ type, amount: 70n, objectRef: 'd', atMs: NOON_MS });
  const lost = paymentOf(capture(500n, 'c'), dispute('dispute_opened'));
  const won = paymentOf(...lost.facts, { type: 'dispute_won', objectRef: 'd', atMs: NOON_MS });
  const told = report([row(2, 500n, 'c')]);
  expect(become({ payments: [lost] }, told).breaks).toEqual([
    'missing_in_report open 0:- P payment/acme:P/dispute/d 70 ',
  ]);
  expect(become({ payments: [won] }, told).breaks).toEqual([]);
});

test('a batch is whole when it adds up to nothing with what was paid out, and its fee rows with it', () => {
  const rows = [
    row(2, 500n, 'c', { batch: 'b', fee: 15n }),
    row(3, 0n, undefined, { type: 'fee', fee: 5n, reference: undefined, batch: 'b' }),
    row(4, -480n, undefined, { type: 'payout', reference: undefined, batch: 'b' }),
  ];
  const world = { payments: [paymentOf(capture(500n, 'c'))] };
  expect(become(world, report(rows)).rows).toEqual(['0:2 exact 0:2', '0:3 batch 0:3', '0:4 batch 0:3']);
  const short = become(world, report(rows.slice(0, 2)));
  expect(short.breaks).toEqual(['payout_mismatch open 0:- b - 480 ']);
});

test('small worlds hold every rule and every kind of break', () => {
  const seen = new Set<string>();
  for (const world of fc.sample(smallWorld, { seed: SEED, numRuns: 10_000 })) {
    const oracle = new Oracle({ payments: [...world.payments], payouts: [] });
    for (const [nth, one] of world.reports.entries()) {
      if (nth === 1) learn(oracle.world, world.later);
      oracle.reconcile(one);
    }
    const { rows, breaks } = showOracle(oracle);
    for (const line of rows) seen.add(line.split(' ')[1] ?? 'none');
    for (const line of breaks) seen.add(line.split(' ').slice(0, 2).join(' '));
  }
  const kinds = ['missing_in_ledger', 'missing_in_report', 'amount_mismatch', 'currency_mismatch', 'fee_mismatch'];
  const more = ['date_mismatch', 'duplicate', 'status_mismatch', 'ambiguous', 'payout_mismatch'];
  const expected = [...kinds, ...more].map((kind) => `${kind} open`);
  const ends = [
    'missing_in_ledger',
    'missing_in_report',
    'payout_mismatch',
    'amount_mismatch',
    'status_mismatch',
    'duplicate',
    'ambiguous',
  ];
  const ended = [...ends, 'currency_mismatch'].map((kind) => `${kind} ended`);
  expect([...seen]).toEqual(expect.arrayContaining([...expected, ...ended, 'exact', 'pairs', 'sum', 'told', 'batch']));
});
