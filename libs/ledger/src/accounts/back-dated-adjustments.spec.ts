import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { firstSnowflakeAt, snowflakeTimeMs } from '#kernel/snowflake.js';
import { finish } from '#platform/turns.js';
import { MemoryBook, START_MS } from '../../../../test/support/memory-book.js';
import type { Entry, Transaction } from '../posting/transaction.js';
import { type Account, type Totals, ZERO_TOTALS } from './account.js';
import {
  ADJUSTMENT_UNTIL,
  type BackDatedAdjustment,
  backDatedAdjustments,
  LEVEL_BITS,
  LEVELS,
} from './back-dated-adjustments.js';

const sumsOf = (transactions: readonly Transaction[]): BackDatedAdjustment[] =>
  finish(backDatedAdjustments(transactions));

const RUNS = { seed: 20_261_121, numRuns: 300 };
const ACCOUNT = 1n;
const OTHER = 2n;
const SECOND = 1_000;
const DAY = 86_400_000;
const FIELDS = ['postedDebits', 'postedCredits', 'pendingDebits', 'pendingCredits'] as const;

interface Late {
  createdAtMs: number;
  effectiveAtMs: number;
  posted: bigint;
  pending: bigint;
}

/** A transaction of `posted` and `pending` from OTHER to ACCOUNT. What `backDatedAdjustments` does not read is left empty. */
function transactionOf({ createdAtMs, effectiveAtMs, posted, pending }: Late, sequence = 0): Transaction {
  const entry = (accountId: bigint, direction: 'debit' | 'credit'): Entry => ({
    accountId,
    accountVersion: 1n,
    direction,
    currency: 'EUR',
    posted,
    pending,
    ...ZERO_TOTALS,
  });
  return {
    id: firstSnowflakeAt(createdAtMs) + BigInt(sequence),
    kind: 'posted',
    type: 'transfer',
    amount: posted,
    currency: 'EUR',
    description: undefined,
    externalRef: undefined,
    effectiveAtMs,
    expiresAtMs: undefined,
    parentId: undefined,
    metadata: undefined,
    ignoredFloor: false,
    entries: [entry(ACCOUNT, 'debit'), entry(OTHER, 'credit')],
  };
}

function add(into: Record<(typeof FIELDS)[number], bigint>, what: Totals, sign = 1n): void {
  for (const field of FIELDS) into[field] += sign * what[field];
}

/** The rule of ADJUSTMENT_UNTIL by hand: from each level the nodes left of T that no higher level has taken already. */
function prefixOf(
  nodes: readonly BackDatedAdjustment[],
  accountId: bigint,
  untilMs: number,
): { sum: Totals; newestVersion: bigint; read: number } {
  const sum = { ...ZERO_TOTALS };
  let newestVersion = 0n;
  const end = BigInt(untilMs) + 1n;
  let read = 0;
  for (const node of nodes) {
    const shift = BigInt(LEVEL_BITS * node.level);
    const above = BigInt(LEVEL_BITS * (node.level + 1));
    const first = node.level === LEVELS - 1 ? undefined : (end >> above) << BigInt(LEVEL_BITS);
    if (node.accountId !== accountId || node.bucket >= end >> shift || (first !== undefined && node.bucket < first))
      continue;
    add(sum, node);
    if (node.newestVersion > newestVersion) newestVersion = node.newestVersion;
    read += 1;
  }
  return { sum, newestVersion, read };
}

/** All points up to T, one by one. */
function pointsUntil(lates: readonly Late[], untilMs: number): Totals {
  const sum = { ...ZERO_TOTALS };
  for (const { createdAtMs, effectiveAtMs, posted, pending } of lates) {
    const moved = { ...ZERO_TOTALS, postedDebits: posted, pendingDebits: pending };
    if (effectiveAtMs <= untilMs) add(sum, moved);
    if (createdAtMs <= untilMs) add(sum, moved, -1n);
  }
  return sum;
}

const lateness = fc.oneof(
  fc.integer({ min: -2, max: 2 }),
  fc.integer({ min: -5 * SECOND, max: 5 * SECOND }),
  fc.integer({ min: -400 * DAY, max: 30 * DAY }),
  // Effective before 1970, and after the 42 bits of milliseconds that the tree's levels span (May 2109).
  fc.constantFrom(
    -START_MS - 1,
    -START_MS - 700 * DAY,
    -START_MS - 200_000 * DAY,
    2 ** 42 - START_MS,
    2 ** 42 - START_MS + DAY,
  ),
);
const late = fc
  .record({
    createdAtMs: fc.integer({ min: 0, max: 3 * DAY }).map((ms) => START_MS + ms),
    lateness,
    posted: fc.bigInt({ min: 0n, max: 50n }),
    pending: fc.bigInt({ min: -50n, max: 50n }),
  })
  .map(({ lateness, ...rest }): Late => ({ ...rest, effectiveAtMs: rest.createdAtMs + lateness }));
const lates = fc.array(late, { minLength: 1, maxLength: 25 });

describe('the tree of back-dated adjustments', () => {
  it('adds up to the points one by one, at and beside every point and at arbitrary times', () => {
    const anyTime = fc.integer({ min: -300_000 * DAY, max: 2 ** 43 });
    fc.assert(
      fc.property(lates, fc.array(anyTime, { maxLength: 5 }), (lates, times) => {
        const nodes = sumsOf(lates.map(transactionOf));
        const edges = lates.flatMap(({ createdAtMs, effectiveAtMs }) => [createdAtMs, effectiveAtMs]);
        for (const untilMs of [...edges.flatMap((ms) => [ms - 1, ms, ms + 1]), ...times]) {
          expect(prefixOf(nodes, ACCOUNT, untilMs).sum).toEqual(pointsUntil(lates, untilMs));
        }
      }),
      RUNS,
    );
  });

  it('keeps accounts and sides apart', () => {
    const [one] = [{ createdAtMs: START_MS, effectiveAtMs: START_MS - DAY, posted: 7n, pending: -3n }];
    const nodes = sumsOf([transactionOf(one as Late)]);
    const at = START_MS - 1;
    expect(prefixOf(nodes, ACCOUNT, at).sum).toEqual({ ...ZERO_TOTALS, postedDebits: 7n, pendingDebits: -3n });
    expect(prefixOf(nodes, OTHER, at).sum).toEqual({ ...ZERO_TOTALS, postedCredits: 7n, pendingCredits: -3n });
  });

  it('has one row a node, however many entries of a group fall into it', () => {
    const many = Array.from({ length: 50 }, (_, n) =>
      transactionOf({ createdAtMs: START_MS, effectiveAtMs: START_MS - DAY, posted: 1n, pending: 0n }, n),
    );
    const nodes = sumsOf(many);
    expect(new Set(nodes.map(({ accountId, level, bucket }) => `${accountId}:${level}:${bucket}`)).size).toBe(
      nodes.length,
    );
    expect(nodes.length).toBe(sumsOf(many.slice(0, 1)).length);
    expect(prefixOf(nodes, ACCOUNT, START_MS - 1).sum.postedDebits).toBe(50n);
  });

  it('is summed with others in between, after each transaction that was late', () => {
    const turnsOf = (lateMs: number) => {
      const late = { createdAtMs: START_MS, effectiveAtMs: START_MS - lateMs };
      const transaction = transactionOf({ ...late, posted: 1n, pending: 0n });
      return [...backDatedAdjustments(Array(50).fill(transaction))].length;
    };
    expect([turnsOf(3_000), turnsOf(0)]).toEqual([50, 0]);
  });

  it('has no node for what was recorded when it happened', () => {
    expect(
      sumsOf([transactionOf({ createdAtMs: START_MS, effectiveAtMs: START_MS, posted: 5n, pending: 0n })]),
    ).toEqual([]);
  });

  it('has two nodes of the lowest level for a millisecond, and nothing above within one parent', () => {
    const createdAtMs = Math.ceil(START_MS / 64) * 64 + 10;
    const nodes = sumsOf([transactionOf({ createdAtMs, effectiveAtMs: createdAtMs - 1, posted: 5n, pending: 0n })]);
    expect(
      nodes.filter((node) => node.accountId === ACCOUNT).map(({ level, postedDebits }) => [level, postedDebits]),
    ).toEqual([
      [0, 5n],
      [0, -5n],
    ]);
  });

  it('is touched by five seconds of lateness in its three lowest levels only, but where a coarse boundary is crossed', () => {
    let coarse = 0;
    const tries = 2_000;
    for (let n = 0; n < tries; n += 1) {
      const createdAtMs = START_MS + n * 7_919;
      const nodes = sumsOf([
        transactionOf({ createdAtMs, effectiveAtMs: createdAtMs - 5 * SECOND, posted: 5n, pending: 0n }),
      ]);
      expect(nodes.length).toBeLessThanOrEqual(2 * 2 * LEVELS);
      if (nodes.some((node) => node.level > 2)) coarse += 1;
      else expect(nodes.length).toBeLessThanOrEqual(2 * 2 * 3);
    }
    // A node of level 3 spans 262 s, so a fiftieth of all spans of 5 s crosses its edge.
    expect(coarse / tries).toBeGreaterThan(0.005);
    expect(coarse / tries).toBeLessThan(0.04);
  });

  it('answers from at most 63 nodes a level, whatever the history', () => {
    const history = Array.from({ length: 3_000 }, (_, n) =>
      transactionOf({
        createdAtMs: START_MS + n * 997,
        effectiveAtMs: START_MS + n * 997 - 11 * DAY,
        posted: 1n,
        pending: 0n,
      }),
    );
    const nodes = sumsOf(history);
    for (const untilMs of [START_MS - 11 * DAY, START_MS - 5 * DAY, START_MS + 1_500_000, START_MS + 3_000_000]) {
      expect(prefixOf(nodes, ACCOUNT, untilMs).read).toBeLessThanOrEqual(63 * LEVELS);
    }
  });

  it('keeps the highest version that was dated back, in whatever order they come', () => {
    const first = transactionOf({ createdAtMs: START_MS, effectiveAtMs: START_MS - DAY, posted: 5n, pending: 0n });
    const [debit, credit] = first.entries as [Entry, Entry];
    const second = { ...first, entries: [{ ...debit, accountVersion: 2n }, credit] };
    for (const order of [
      [first, second],
      [second, first],
    ]) {
      expect(prefixOf(sumsOf(order), ACCOUNT, START_MS - 1).newestVersion).toBe(2n);
    }
  });

  it('is asked by the same levels and bits as it is kept', () => {
    expect(ADJUSTMENT_UNTIL).toContain(`generate_series(0, ${LEVELS - 1})`);
    expect(ADJUSTMENT_UNTIL).toContain(`${LEVEL_BITS} * (level.level + 1)`);
  });
});

describe('a balance at T', () => {
  it('is what was recorded by T plus the back-dated adjustments up to T: exactly the entries effective by T', () => {
    const posting = fc.record({
      afterMs: fc.nat(3 * SECOND),
      lateMs: fc.oneof(
        fc.constant(0),
        fc.integer({ min: -10 * SECOND, max: 4 * SECOND }),
        fc.integer({ min: -DAY, max: 0 }),
      ),
      amount: fc.bigInt({ min: 1n, max: 50n }),
      back: fc.boolean(),
      pending: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(posting, { minLength: 1, maxLength: 25 }), (postings) => {
        const book = new MemoryBook();
        const account: Omit<Account, 'id'> = { code: 'a', currency: 'EUR', normalSide: 'debit', minAvailable: null };
        book.open({ id: ACCOUNT, ...account });
        book.open({ id: OTHER, ...account });
        for (const { afterMs, lateMs, amount, back, pending } of postings) {
          book.nowMs += afterMs;
          book.accept({
            kind: 'post',
            pending,
            type: 'transfer',
            effectiveAtMs: book.nowMs + lateMs,
            entries: [
              { accountId: back ? OTHER : ACCOUNT, direction: 'debit', amount, currency: 'EUR' },
              { accountId: back ? ACCOUNT : OTHER, direction: 'credit', amount, currency: 'EUR' },
            ],
          });
        }
        const transactions = [...book.transactions.values()];
        const nodes = sumsOf(transactions);
        const times = transactions.flatMap(({ id, effectiveAtMs }) => [
          snowflakeTimeMs(id),
          effectiveAtMs,
          effectiveAtMs - 1,
        ]);
        for (const untilMs of times) {
          const recorded = transactions.filter((transaction) => snowflakeTimeMs(transaction.id) <= untilMs);
          const newestOf = (among: readonly Transaction[]): Entry | undefined =>
            among.flatMap(({ entries }) => entries).findLast((entry) => entry.accountId === ACCOUNT);
          const newest = newestOf(recorded);
          const counted = newestOf(recorded.filter(({ effectiveAtMs }) => effectiveAtMs <= untilMs));
          const late = prefixOf(nodes, ACCOUNT, untilMs);
          const version = counted?.accountVersion ?? 0n;
          const answer = {
            ...ZERO_TOTALS,
            version: late.newestVersion > version ? late.newestVersion : version,
          };
          if (newest) add(answer, newest);
          add(answer, late.sum);

          const exact = { ...ZERO_TOTALS, version: 0n };
          for (const { effectiveAtMs, entries } of transactions) {
            if (effectiveAtMs > untilMs) continue;
            for (const { accountId, accountVersion, direction, posted, pending } of entries) {
              if (accountId !== ACCOUNT) continue;
              if (accountVersion > exact.version) exact.version = accountVersion;
              if (direction === 'debit') add(exact, { ...ZERO_TOTALS, postedDebits: posted, pendingDebits: pending });
              else add(exact, { ...ZERO_TOTALS, postedCredits: posted, pendingCredits: pending });
            }
          }
          expect(answer).toEqual(exact);
        }
      }),
      RUNS,
    );
  });
});
