import { describe, expect, test } from 'vitest';
import { SEED } from '../support/seed.js';
import { BENT } from './bent.js';
import { amountsOf, type Night, type Posted, type Settled, settle, type Terms } from './oracle.js';
import { type Quarter, quarterOf, SHORT, type Step } from './quarter.js';
import { PLAN_VERSIONS, type ShopPlan } from './shops.js';

/** What the ledger would have of a quarter: each fact as an entry when it is told, and a refund without a capture when that is told. */
function imagined(quarter: Quarter, shop: ShopPlan): { terms: Terms; posted: Posted[]; nights: Night[] } {
  const moves = new Map(
    quarter.stories
      .get(shop)
      ?.flatMap(({ currency, happenings }) =>
        happenings.map(({ fact, move }) => [fact.id, { currency, move }] as const),
      ),
  );
  const heads = new Map<string, number>();
  const posted: Posted[] = [];
  const captured = new Set<string>();
  const add = (one: Omit<Posted, 'version' | 'transaction'>): void => {
    const version = (heads.get(one.currency) ?? 0) + 1;
    heads.set(one.currency, version);
    posted.push({ ...one, version, transaction: `${version}` });
  };
  const tell = ({ id, ref, occurredAtMs }: StepFact, parked: StepFact[]): void => {
    const { currency, move } = moves.get(id) ?? {};
    if (!currency || !move) return;
    if (move.kind !== 'payment' && !captured.has(ref)) {
      parked.push({ id, ref, occurredAtMs });
      return;
    }
    captured.add(ref);
    add({ ...move, currency, payment: ref, atMs: occurredAtMs });
  };
  let parked: StepFact[] = [];
  const nights: Night[] = [];
  for (const { date, evenings, missing } of quarter.steps) {
    const { facts = [], byHand = [] } = evenings.get(shop) ?? {};
    for (const fact of facts) {
      tell(fact, parked);
      const freed = parked.filter(({ ref }) => captured.has(ref));
      parked = parked.filter((one) => !freed.includes(one));
      for (const one of freed) tell(one, parked);
    }
    for (const { currency, amounts, atMs } of byHand)
      for (const amount of amounts) add({ kind: 'other', currency, amount, atMs });
    if (!missing.has(shop)) nights.push({ date, seen: new Map(heads) });
  }
  const { clock, plans } = shop;
  return { terms: { clock, plans, versions: PLAN_VERSIONS, openedMs: Date.parse('2026-11-01') }, posted, nights };
}

type StepFact = { id: string; ref: string; occurredAtMs: number };

const sum = (amounts: bigint[]): bigint => amounts.reduce((total, amount) => total + amount, 0n);

describe.each([
  ['short', quarterOf(SHORT)],
  ['long', quarterOf({ seed: SEED, rounds: 3, payments: 60, everyNight: true })],
])('a %s quarter', (_, quarter) => {
  const all = quarter.shops.map((shop) => imagined(quarter, shop));
  const settled = all.map(({ terms, posted, nights }): Settled => settle(terms, posted, nights));

  test('is settled to the minor unit, each entry once', () => {
    for (const [index, { posted }] of all.entries()) {
      const { settlements, unsettled } = settled[index] as Settled;
      const amounts = settlements.map(amountsOf);
      expect(sum(amounts.map(({ net, fees }) => net + fees)) + sum(unsettled.map(({ amount }) => amount))).toBe(
        sum(posted.map(({ amount }) => amount)),
      );
      const taken = settlements.flatMap(({ lines }) => lines);
      const names = [...taken, ...unsettled].map(({ currency, version }) => `${currency} ${version}`);
      expect(names.sort()).toEqual(posted.map(({ currency, version }) => `${currency} ${version}`).sort());
    }
  });

  test('has everything in it that it is to try', () => {
    const lines = settled.flatMap(({ settlements }) =>
      settlements.flatMap((one) => one.lines.map((line) => ({ ...line, day: one.day }))),
    );
    const among = (isSo: (line: (typeof lines)[number]) => boolean): boolean => lines.some(isSo);
    expect({
      late: among(({ atMs, day }) => atMs < day.fromMs),
      atAnEnd: among(({ atMs, day }) => atMs === day.toMs - 1),
      atABeginning: among(({ atMs, day }) => atMs === day.fromMs),
      ties: among(({ exact }) =>
        exact.some(({ top, bottom }) => (((2n * top) % (2n * bottom)) + 2n * bottom) % (2n * bottom) === bottom),
      ),
      givenBack: among(({ kind, charged }) => kind === 'refund' && charged < 0n),
      failed: among(({ kind, amount, charged }) => kind === 'payment' && amount < 0n && charged < 0n),
      undone: among(({ kind, amount }) => kind === 'refund' && amount > 0n),
      won: among(({ kind, amount }) => kind === 'dispute' && amount > 0n),
      byHand: among(({ kind }) => kind === 'other'),
      secondVersions: among(({ plan }) => plan?.version === 2),
      missed: quarter.steps.some(({ missing }) => missing.size > 0),
      payouts: quarter.steps.some(({ payouts }) => payouts.size > 0),
    }).toEqual({
      late: true,
      atAnEnd: true,
      atABeginning: true,
      ties: true,
      givenBack: true,
      failed: true,
      undone: true,
      won: true,
      byHand: true,
      secondVersions: true,
      missed: true,
      payouts: true,
    });
  });

  test.each(BENT)('would be settled otherwise with $name', ({ settle: bent, amountsOf: amounts }) => {
    const wrong = all.filter(({ terms, posted, nights }, index) => {
      const should = (settled[index] as Settled).settlements.map((one) => [one.day, one.currency, amountsOf(one)]);
      const is = bent(terms, posted, nights).settlements.map((one) => [one.day, one.currency, amounts(one)]);
      return JSON.stringify(is, text) !== JSON.stringify(should, text);
    });
    expect(wrong.length).toBeGreaterThan(0);
  });
});

const text = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value);

test('a quarter is the same for the same seed', () => {
  const draw = (): Step[] => [...quarterOf(SHORT).steps];
  const said = (steps: Step[]): unknown =>
    steps.map(({ evenings, payouts }) => [[...evenings.values()], [...payouts.values()]]);
  expect(said(draw())).toEqual(said(draw()));
});
