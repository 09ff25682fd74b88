import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ALPHABET, SHORT_ALPHABET } from '../../../test/payments/alphabet.js';
import { arrivalsOf, permutationsOf, subsetsOf } from '../../../test/payments/arrivals.js';
import type { Standing } from '../../../test/payments/books.js';
import { type Life, lifeOf, wireOf } from '../../../test/payments/lives.js';
import { randomFrom } from '../../../test/payments/telling.js';
import { differenceOf, PAYMENT_ACCOUNTS, type PaymentAccount } from './accounts.js';
import { FACT_TYPES, type Fact, type FactType } from './facts.js';
import { outcomeOf } from './outcome.js';
import { type Position, position } from './position.js';
import { readGenericEvent } from './providers/generic-event.js';

/**
 * Whatever the order, with duplicates, cut in any way: the same payment in the end, and as much on each account as was posted on
 * the way. `npm run test:payments` tries many more than `npm test` (vitest.payments.config.ts).
 */
const SEED = Number(process.env.TEST_SEED ?? 1);
const PERMUTATIONS = Number(process.env.PAYMENTS_PERMUTATIONS ?? 25_000);
const LONGEST = Number(process.env.PAYMENTS_LONGEST ?? 4);
const PER_LIFE = 20;
const OPTIONS = { overcapturePercent: 0 };
const SINCE_MS = Date.parse('2026-11-27T10:00:00Z');

const at = (facts: Iterable<Fact>): Position => position(facts, OPTIONS);

describe('lives of payments, drawn', () => {
  test(`every order of arrival, with duplicates and cut in any way, ends as the life did`, () => {
    const met = new Set<FactType>();
    let permutations = 0;
    const lives = Math.ceil(PERMUTATIONS / PER_LIFE);
    fc.assert(
      fc.property(fc.nat(2 ** 31), fc.boolean(), (seed, requests) => {
        const life = lifeOf({ ref: 'p', seed, requests, sinceMs: SINCE_MS });
        for (const { type } of life.facts) met.add(type);
        const whole = at(life.facts);
        expectEnd(life, whole);
        const random = randomFrom(seed + 1);
        for (let n = 0; n < PER_LIFE; n += 1) {
          arrive(life.facts, random, whole);
          permutations += 1;
        }
      }),
      { seed: SEED, numRuns: lives },
    );
    console.log(`${permutations} permutations of ${lives} lives`);
    expect([...met].sort()).toEqual([...FACT_TYPES].sort());
  });
});

test('what a life tells is read from the wire as it was meant', () => {
  for (let seed = 0; seed < 200; seed += 1) {
    const { facts, ref } = lifeOf({ ref: `p${seed}`, seed, sinceMs: SINCE_MS });
    for (const fact of facts)
      expect(readGenericEvent(wireOf(fact, { provider: 'acme', ref }))).toEqual({
        paymentRef: ref,
        provider: 'acme',
        fact,
      });
  }
});

/** One arrival of all facts, in batches: each posts what it changes. */
function arrive(facts: readonly Fact[], random: () => number, whole: Position): void {
  const told: Fact[] = [];
  const books = new Map<string, bigint>();
  let before = at([]);
  for (const batch of arrivalsOf(facts, random)) {
    told.push(...batch);
    const after = at(told);
    post(books, before, after);
    before = after;
  }
  if (!isSame(before, whole)) expect(before).toEqual(whole);
  expect(standing(books)).toEqual(standing(booksOf(whole)));
}

function booksOf(whole: Position): Map<string, bigint> {
  const books = new Map<string, bigint>();
  for (const account of PAYMENT_ACCOUNTS) {
    books.set(`${account} ${whole.currency} posted`, whole.accounts[account].posted);
    books.set(`${account} ${whole.currency} pending`, whole.accounts[account].pending);
  }
  for (const [kind, amount] of Object.entries(whole.payable)) books.set(`${kind} ${whole.currency}`, amount);
  return books;
}

function standing(books: ReadonlyMap<string, bigint>): [string, bigint][] {
  return [...books].filter(([, amount]) => amount !== 0n).sort(([one], [other]) => (one < other ? -1 : 1));
}

/** As the ledger would: debits and credits of each adjustment are equal, posted and pending. */
function post(books: Map<string, bigint>, before: Position, after: Position): void {
  const sums = new Map<string, bigint>();
  const add = (to: Map<string, bigint>, name: string, amount: bigint): unknown =>
    to.set(name, (to.get(name) ?? 0n) + amount);
  for (const { account, kind, currency, direction, posted, pending } of differenceOf(before, after)) {
    if (posted < 0n || (posted === 0n && pending === 0n)) throw new Error(`an entry of ${posted} and ${pending}`);
    if (pending !== 0n && direction !== HOLD_SIDES[account]) throw new Error(`a hold changed its side on ${account}`);
    if ((kind !== undefined) !== (account === 'merchant_payable' && posted !== 0n))
      throw new Error(`${account} is of ${kind}`);
    const sign = direction === 'debit' ? 1n : -1n;
    if (kind) add(books, `${kind} ${currency}`, sign * posted);
    for (const [name, amount] of [
      ['posted', posted],
      ['pending', pending],
    ] as const) {
      add(books, `${account} ${currency} ${name}`, sign * amount);
      add(sums, `${currency} ${name}`, sign * amount);
    }
  }
  for (const [name, amount] of sums) if (amount !== 0n) throw new Error(`${name} is off by ${amount}`);
}

const HOLD_SIDES: Partial<Record<PaymentAccount, 'debit' | 'credit'>> = {
  provider_receivable: 'debit',
  merchant_payable: 'credit',
};

function expectEnd({ end, rejected, seed }: Life, whole: Position): void {
  const told: Standing = {
    status: whole.status ?? '',
    authorised: whole.amountAuthorised,
    capturable: whole.amountCapturable,
    captured: whole.amountCaptured,
    refunded: whole.amountRefunded,
    disputed: whole.amountDisputed,
    settled: whole.amountSettled,
    accounts: whole.accounts,
  };
  expect(told, `life ${seed}`).toEqual(end);
  const { payment, refund, dispute } = whole.payable;
  expect([payment, refund, payment + refund + dispute]).toEqual([
    -end.captured,
    end.refunded,
    end.accounts.merchant_payable.posted,
  ]);
  expect(whole.rejected, `life ${seed}`).toEqual(rejected);
  expect(whole.parked, `life ${seed}`).toEqual([]);
}

test.each([
  ['an alphabet', ALPHABET, LONGEST - 1],
  ['its first letters', SHORT_ALPHABET, LONGEST],
] as const)('all permutations of all lives of %s end in one position', (_, alphabet, longest) => {
  let permutations = 0;
  for (const facts of subsetsOf(alphabet, longest)) {
    const whole = at(facts);
    for (const order of permutationsOf(facts)) {
      if (!isSame(at(order), whole)) expect(at(order)).toEqual(whole);
      permutations += 1;
    }
  }
  console.log(`${permutations} permutations of lives of up to ${longest} facts of ${alphabet.length}`);
  expect(new Set(alphabet.map(({ type }) => type)).size).toBe(FACT_TYPES.length);
});

/** Quicker than toEqual, which says where. */
function isSame(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false;
  const names = Object.keys(one);
  if (names.length !== Object.keys(other).length) return false;
  return names.every((name) => isSame(one[name as keyof typeof one], other[name as keyof typeof other]));
}

// ---- nonsense

const AMOUNT = fc.option(fc.oneof(fc.bigInt(0n, 9n), fc.constantFrom(0n, 50n, 100n, 10n ** 15n, 10n ** 40n)), {
  nil: undefined,
});
const optional = <T>(...values: T[]) => fc.constantFrom(undefined, undefined, ...values);

const NONSENSE: fc.Arbitrary<Fact> = fc
  .record({
    id: fc.constantFrom(...'abcdefghijklmnop', 'request:1', 'request:2', '', '__proto__'),
    source: fc.constantFrom('request' as const, 'provider' as const, 'provider' as const),
    type: fc.constantFrom(...FACT_TYPES, 'authorised' as const, 'captured' as const),
    amount: AMOUNT,
    currency: optional('EUR', 'EUR', 'EUR', 'USD'),
    amountKind: fc.constantFrom('delta' as const, 'delta' as const, 'cumulative' as const),
    objectRef: optional('1', '2', 'a', '__proto__', ''),
    sequence: optional(1, 2, 3),
    fee: AMOUNT,
    stage: optional('inquiry', 'chargeback', 'second_chargeback', 'pre_arbitration') as fc.Arbitrary<Fact['stage']>,
    final: optional(true, false),
    occurredAtMs: fc.constantFrom(-1, 0, 1, 2, 3, 4, 8.64e15),
  })
  .map(
    (fact) => Object.fromEntries(Object.entries(fact).filter(([, value]) => value !== undefined)) as unknown as Fact,
  );

/** Most nonsense would wait for a payment that never begins. */
const FOUNDING = fc.constantFrom<Fact[]>(
  [],
  [
    {
      id: 'founding',
      source: 'provider',
      type: 'authorised',
      amount: 100n,
      currency: 'EUR',
      amountKind: 'delta',
      occurredAtMs: 1,
    },
  ],
);

test('no set of facts crashes it, and every order of it means the same', () => {
  let known = 0;
  fc.assert(
    fc.property(FOUNDING, fc.array(NONSENSE, { maxLength: 14 }), fc.nat(2 ** 31), (founding, others, seed) => {
      const facts = [...founding, ...others];
      const whole = at(facts);
      if (whole.exists) known += 1;
      const random = randomFrom(seed);
      const told: Fact[] = [];
      const books = new Map<string, bigint>();
      let before = at([]);
      for (const batch of arrivalsOf(facts, random)) {
        told.push(...batch);
        const after = at(told);
        post(books, before, after);
        expectSane(after, told);
        for (const one of batch) outcomeOf(before, after, one);
        before = after;
      }
      expect(before).toEqual(whole);
      expect(standing(books)).toEqual(standing(booksOf(whole)));
    }),
    { seed: SEED, numRuns: Math.ceil(PERMUTATIONS / 5) },
  );
  expect(known).toBeGreaterThan(PERMUTATIONS / 20);
});

function expectSane(after: Position, told: readonly Fact[]): void {
  const { amountCaptured, amountRefunded, amountDisputed, amountCapturable, amountAuthorised, parked, rejected } =
    after;
  expect(amountRefunded <= amountCaptured).toBe(true);
  expect(amountDisputed <= amountCaptured).toBe(true);
  expect(amountCapturable >= 0n && amountCapturable <= amountAuthorised).toBe(true);
  const ids = new Set(told.map(({ id }) => id));
  const apart = [...parked, ...rejected];
  expect(apart.length).toBe(new Set(apart).size);
  for (const id of apart) expect(ids.has(id)).toBe(true);
  expect(after.exists).toBe(after.status !== null && after.currency !== null);
}

test('any number of facts is one payment, in a time that grows as they do', () => {
  const told = (type: FactType, more: Partial<Fact>): Fact => ({
    id: type,
    source: 'provider',
    type,
    amountKind: 'delta',
    occurredAtMs: 1,
    amount: 100n,
    ...more,
  });
  const beginning = [
    told('authorised', { currency: 'EUR' }),
    told('captured', { id: 'request:1', source: 'request', objectRef: '1' }),
  ];
  const again = Array.from({ length: PERMUTATIONS * 6 }, (_, number) => [
    told('captured', { id: `captured ${number}`, objectRef: 'c' }),
    told('dispute_lost', { id: `lost ${number}`, objectRef: 'd' }),
  ]).flat();
  expect(at([...beginning, ...again])).toEqual(at([...beginning, ...again.slice(0, 2)]));
});
