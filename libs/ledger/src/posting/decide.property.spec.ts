import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_AMOUNT } from '#kernel/money.js';
import type { ProblemCode } from '#kernel/problem.js';
import { snowflakeTimeMs } from '#kernel/snowflake.js';
import { LedgerModel, type Modelled, sign } from '../../../../test/support/ledger-model.js';
import { type BookCommand, type Done, deepFreeze, MemoryBook } from '../../../../test/support/memory-book.js';
import { type Account, availableAmount, type Balance, type Side, ZERO_TOTALS } from '../accounts/account.js';
import type { Adjust, EntryRequest, NewEntry, Part, Post, Refused } from './command.js';
import { type Entry, initialState, type Transaction } from './transaction.js';

/**
 * Random command sequences over few accounts and small amounts, so that floors, exhausted holds, full reversals and closed
 * accounts are met all the time. Every property plays the same sequences; the last test shows that they meet everything.
 */
const RUNS = { seed: 20_261_121, numRuns: 400 };

const ACCOUNTS: readonly Account[] = [
  { id: 1n, code: 'cash:EUR', currency: 'EUR', normalSide: 'debit', minAvailable: null },
  { id: 2n, code: 'payable:EUR', currency: 'EUR', normalSide: 'credit', minAvailable: 0n },
  { id: 3n, code: 'overdraft:EUR', currency: 'EUR', normalSide: 'credit', minAvailable: -20n },
  { id: 4n, code: 'float:EUR', currency: 'EUR', normalSide: 'debit', minAvailable: 0n },
  { id: 5n, code: 'cash:USD', currency: 'USD', normalSide: 'debit', minAvailable: null },
  { id: 6n, code: 'payable:USD', currency: 'USD', normalSide: 'credit', minAvailable: 0n },
  // Below its floor from the start: money may come in and nothing may go out before there is enough.
  { id: 7n, code: 'reserve:EUR', currency: 'EUR', normalSide: 'credit', minAvailable: 25n },
];

const EUR = [1n, 2n, 3n, 4n, 7n];
const USD = [5n, 6n];
const UNKNOWN = 99n;

// ---- sequences

type Step = { afterMs: number } & (
  | {
      do: 'post';
      pending: boolean;
      transfers: { usd: boolean; debit: number; credit: number; amount: bigint }[];
      fault: 'unbalanced' | 'currency' | 'unknown account' | 'too large' | undefined;
      condition: { on: number; versionOffset: bigint | undefined; minAvailable: bigint | undefined } | undefined;
      expiresInMs: number | undefined;
    }
  | { do: 'capture'; target: Target; amount: bigint | undefined; named: Named | undefined; final: boolean }
  | { do: 'void' | 'expire'; target: Target }
  | { do: 'reverse'; target: Target; amount: bigint | undefined; named: Named | undefined }
  | { do: 'close' | 'reopen'; account: number }
  | {
      do: 'adjust';
      moves: { usd: boolean; debit: number; credit: number; posted: bigint; pending: bigint }[];
      fault: 'posted' | 'pending' | 'currency' | 'unknown account' | 'too large' | 'too low' | undefined;
    }
);

/** One debit and one credit of the parent, by account, and what is wrong with them. */
interface Named {
  debit: number;
  credit: number;
  amount: bigint;
  fault: 'unbalanced' | 'unknown account' | 'twice' | undefined;
}

/** Which transaction a step means: one of those that are still held, a reversal, any at all, or one that does not exist. */
interface Target {
  among: 'held' | 'reversals' | 'all' | 'none';
  index: number;
}

const afterMs = fc.integer({ min: 0, max: 6 });
const smallAmount = fc.bigInt({ min: 1n, max: 30n });
/** Absent once in `absentOnceIn`. */
const maybe = <T>(arbitrary: fc.Arbitrary<T>, absentOnceIn: number): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined, freq: absentOnceIn });
const target: fc.Arbitrary<Target> = fc.record({
  among: fc.oneof(
    { weight: 16, arbitrary: fc.constant('held' as const) },
    { weight: 5, arbitrary: fc.constant('all' as const) },
    { weight: 1, arbitrary: fc.constant('none' as const) },
  ),
  index: fc.nat(1_000),
});
const named: fc.Arbitrary<Named | undefined> = fc
  .tuple(
    fc.nat(2),
    fc.record({
      debit: fc.nat(2),
      credit: fc.nat(2),
      amount: fc.bigInt({ min: 1n, max: 12n }),
      fault: fc.nat(20).map((n) => (['unbalanced', 'unknown account', 'twice'] as const)[n]),
    }),
  )
  .map(([n, parts]) => (n === 0 ? parts : undefined));
const transfer = fc.record({
  usd: fc.nat(4).map((n) => n === 0),
  debit: fc.nat(4),
  credit: fc.nat(4),
  amount: smallAmount,
});

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      do: fc.constant('post' as const),
      afterMs,
      pending: fc.boolean(),
      transfers: fc.oneof(
        { weight: 3, arbitrary: fc.array(transfer, { minLength: 1, maxLength: 1 }) },
        { weight: 1, arbitrary: fc.array(transfer, { minLength: 2, maxLength: 3 }) },
      ),
      fault: fc.nat(99).map((n) => (['unbalanced', 'currency', 'unknown account', 'too large'] as const)[n]),
      condition: fc
        .tuple(
          fc.nat(9),
          fc.record({
            on: fc.nat(5),
            versionOffset: maybe(fc.bigInt({ min: -1n, max: 1n }), 2),
            minAvailable: maybe(fc.bigInt({ min: -5n, max: 30n }), 2),
          }),
        )
        .map(([n, condition]) => (n === 0 ? condition : undefined)),
      expiresInMs: maybe(fc.integer({ min: 1, max: 60 }), 2),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('capture' as const),
      afterMs,
      target,
      amount: maybe(fc.bigInt({ min: 1n, max: 15n }), 4),
      named,
      final: fc.nat(3).map((n) => n === 0),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('void' as const), afterMs, target }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('expire' as const), afterMs, target }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('reverse' as const),
      afterMs,
      target: target.map(
        ({ among, index }): Target => ({
          among: among === 'held' ? (index % 2 === 0 ? 'all' : 'reversals') : among,
          index: index >> 1,
        }),
      ),
      amount: maybe(fc.bigInt({ min: 1n, max: 15n }), 2),
      named,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constantFrom('close', 'reopen'), afterMs, account: fc.nat(7) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('adjust' as const),
      afterMs,
      moves: fc.array(
        fc.record({
          usd: fc.nat(4).map((n) => n === 0),
          debit: fc.nat(4),
          credit: fc.nat(4),
          posted: fc.bigInt({ min: 0n, max: 20n }),
          pending: fc.bigInt({ min: -20n, max: 20n }),
        }),
        { minLength: 1, maxLength: 3 },
      ),
      fault: fc
        .nat(40)
        .map((n) => (['posted', 'pending', 'currency', 'unknown account', 'too large', 'too low'] as const)[n]),
    }),
  },
);
const sequences = fc.array(step, { minLength: 10, maxLength: 50, size: 'max' });

/** Every sequence starts with some money where floors are, or most of its postings would be refused. */
const FUNDING: readonly Step[] = [1, 2].map((credit) => ({
  do: 'post',
  afterMs: 0,
  pending: false,
  transfers: [
    { usd: false, debit: 0, credit, amount: 40n },
    { usd: true, debit: 0, credit: 1, amount: 20n },
  ],
  fault: undefined,
  condition: undefined,
  expiresInMs: undefined,
}));

function commandOf(step: Step, book: MemoryBook): BookCommand {
  switch (step.do) {
    case 'post':
      return postingOf(step, book);
    case 'adjust':
      return adjustmentOf(step, book);
    case 'close':
    case 'reopen':
      return { kind: step.do, accountId: ACCOUNTS[step.account]?.id ?? UNKNOWN };
    case 'capture': {
      const parentId = resolve(step.target, book);
      return { kind: 'capture', parentId, final: step.final, ...partOf(step, parentId, book) };
    }
    case 'reverse': {
      const parentId = resolve(step.target, book);
      return { kind: 'reverse', parentId, ...partOf(step, parentId, book) };
    }
    default:
      return { kind: step.do, parentId: resolve(step.target, book) };
  }
}

function partOf(
  { amount, named }: { amount: bigint | undefined; named: Named | undefined },
  parentId: bigint,
  book: MemoryBook,
): { amount?: bigint; entries?: Part[] } {
  if (!named) return amount === undefined ? {} : { amount };
  const entries = book.transactions.get(parentId)?.entries ?? [];
  const pick = (direction: Side, index: number, currency?: string): Entry | undefined => {
    const side = entries.filter(
      (entry) => entry.direction === direction && (currency === undefined || entry.currency === currency),
    );
    return side[index % side.length];
  };
  const debit = pick('debit', named.debit);
  const credit = pick('credit', named.credit, debit?.currency);
  const parts = [debit, credit].map((entry) => ({ accountId: entry?.accountId ?? UNKNOWN, amount: named.amount }));
  const [first] = parts as [Part];
  if (named.fault === 'unbalanced') first.amount += 1n;
  if (named.fault === 'unknown account') first.accountId = UNKNOWN;
  if (named.fault === 'twice') parts.push({ ...first });
  return { entries: parts };
}

function postingOf(step: Extract<Step, { do: 'post' }>, book: MemoryBook): Post {
  const entries = step.transfers.flatMap(({ usd, debit, credit, amount }): EntryRequest[] => {
    const ids = usd ? USD : EUR;
    const currency = usd ? 'USD' : 'EUR';
    const side = (direction: Side, index: number): EntryRequest => ({
      accountId: ids[index % ids.length] as bigint,
      direction,
      amount: step.fault === 'too large' ? MAX_AMOUNT + amount : amount,
      currency,
    });
    return [side('debit', debit), side('credit', credit)];
  });
  const [first] = entries as [EntryRequest];
  if (step.fault === 'unbalanced') first.amount += 1n;
  if (step.fault === 'unknown account') first.accountId = UNKNOWN;
  if (step.fault === 'currency') first.accountId = first.currency === 'EUR' ? 5n : 1n;
  const conditioned = step.condition && entries[step.condition.on % entries.length];
  if (step.condition && conditioned) {
    const { versionOffset, minAvailable } = step.condition;
    const version = book.balance(conditioned.accountId)?.version ?? 0n;
    conditioned.conditions = {
      ...(versionOffset !== undefined && { version: version + versionOffset }),
      ...(minAvailable !== undefined && { minAvailable }),
    };
  }
  const expires = step.pending && step.expiresInMs !== undefined && { expiresAtMs: book.nowMs + step.expiresInMs };
  return { kind: 'post', pending: step.pending, type: 'transfer', entries, ...expires };
}

/** What adjustments hold: the others' holds are not theirs to release. */
function heldByPayments(book: MemoryBook): Map<string, bigint> {
  const held = new Map<string, bigint>();
  for (const { kind, entries } of book.transactions.values()) {
    for (const { accountId, direction, pending } of kind === 'adjustment' ? entries : []) {
      const key = `${accountId} ${direction}`;
      held.set(key, (held.get(key) ?? 0n) + pending);
    }
  }
  return held;
}

function adjustmentOf(step: Extract<Step, { do: 'adjust' }>, book: MemoryBook): Adjust {
  const held = heldByPayments(book);
  const entries = step.moves.flatMap(({ usd, debit, credit, posted, pending: wanted }): NewEntry[] => {
    const ids = usd ? USD : EUR;
    const holding = (side: Side) => ids.filter((id) => (held.get(`${id} ${side}`) ?? 0n) > 0n);
    const releases = wanted < 0n && holding('debit').length > 0 && holding('credit').length > 0;
    const pick = (side: Side, index: number): bigint => {
      const among = releases ? holding(side) : ids;
      return among[index % among.length] as bigint;
    };
    const sides = [
      ['debit', pick('debit', debit)],
      ['credit', pick('credit', credit)],
    ] as const;
    const most = sides.map(([side, id]) => held.get(`${id} ${side}`) ?? 0n).reduce((a, b) => (a < b ? a : b));
    const pending = releases ? (-wanted > most ? -most : wanted) : wanted > 0n ? wanted : 0n;
    return sides.map(([direction, accountId]) => {
      held.set(`${accountId} ${direction}`, (held.get(`${accountId} ${direction}`) ?? 0n) + pending);
      const currency = usd ? 'USD' : 'EUR';
      return { accountId, direction, currency, posted: posted === 0n && pending === 0n ? 1n : posted, pending };
    });
  });
  const [first, second] = entries as [NewEntry, NewEntry];
  if (step.fault === 'posted') first.posted += 1n;
  if (step.fault === 'pending') first.pending += first.pending < 0n ? -1n : 1n;
  if (step.fault === 'unknown account') first.accountId = UNKNOWN;
  if (step.fault === 'currency') first.accountId = first.currency === 'EUR' ? 5n : 1n;
  if (step.fault === 'too large') first.posted = second.posted = MAX_AMOUNT + 1n;
  if (step.fault === 'too low') first.pending = second.pending = -MAX_AMOUNT - 1n;
  return { kind: 'adjust', type: 'payment', entries };
}

function resolve({ among, index }: Target, book: MemoryBook): bigint {
  const all = [...book.transactions.values()];
  const held = all.filter(
    (transaction) => (book.states.get(transaction.id) ?? initialState(transaction)).remaining > 0n,
  );
  const reversals = all.filter(({ kind }) => kind === 'reversal');
  const wanted = among === 'held' ? held : among === 'reversals' ? reversals : [];
  const choice = among === 'none' ? [] : wanted.length > 0 ? wanted : all;
  return choice[index % choice.length]?.id ?? UNKNOWN;
}

interface Moment {
  book: MemoryBook;
  command: BookCommand;
  id: bigint;
  decision: Done | Refused;
}

/** Plays a sequence on a new book. `visit` sees each decision before it is carried out. */
function play(steps: readonly Step[], visit: (moment: Moment) => void = () => undefined): MemoryBook {
  const book = new MemoryBook();
  for (const account of ACCOUNTS) book.open(account);
  for (const step of [...FUNDING, ...steps]) {
    book.nowMs += step.afterMs;
    const command = deepFreeze(commandOf(step, book));
    const id = book.nextId();
    const decision = book.decide(command, id);
    visit({ book, command, id, decision });
    if (decision.accepted) book.apply(decision);
  }
  return book;
}

function always(check: (steps: readonly Step[]) => void): void {
  fc.assert(fc.property(sequences, check), RUNS);
}

function entriesOf(book: MemoryBook, accountId: bigint): Entry[] {
  const all = [...book.transactions.values()].flatMap((transaction) => transaction.entries);
  return all.filter((entry) => entry.accountId === accountId);
}

function balanceOf(book: MemoryBook, id: bigint): Balance {
  const balance = book.balance(id);
  if (!balance) throw new Error(`no balance of ${id}`);
  return balance;
}

describe('any command sequence', () => {
  it('keeps every transaction at zero per currency, in what it posts and in what it holds', () => {
    always((steps) => {
      for (const { entries } of play(steps).transactions.values()) {
        const sums: Record<string, bigint> = {};
        for (const { direction, currency, posted, pending } of entries) {
          sums[`posted ${currency}`] = (sums[`posted ${currency}`] ?? 0n) + sign(direction) * posted;
          sums[`pending ${currency}`] = (sums[`pending ${currency}`] ?? 0n) + sign(direction) * pending;
        }
        expect(Object.values(sums).every((sum) => sum === 0n)).toBe(true);
      }
    });
  });

  it('keeps every balance the fold of its entries, under versions without a gap, each entry carrying the totals so far', () => {
    always((steps) => {
      const book = play(steps);
      for (const { id } of ACCOUNTS) {
        const totals = { ...ZERO_TOTALS };
        let version = 0n;
        for (const entry of entriesOf(book, id)) {
          version += 1n;
          if (entry.direction === 'debit') {
            totals.postedDebits += entry.posted;
            totals.pendingDebits += entry.pending;
          } else {
            totals.postedCredits += entry.posted;
            totals.pendingCredits += entry.pending;
          }
          expect(entry).toMatchObject({ accountVersion: version, ...totals });
        }
        expect(balanceOf(book, id)).toMatchObject({ version, ...totals });
      }
    });
  });

  it('remembers the newest transaction of every account', () => {
    always((steps) => {
      const book = play(steps);
      for (const { id } of ACCOUNTS) {
        const touching = [...book.transactions.values()].filter((t) =>
          t.entries.some((entry) => entry.accountId === id),
        );
        expect(balanceOf(book, id).lastTransactionId).toBe(touching.at(-1)?.id ?? 0n);
      }
    });
  });

  it('lets no transaction but an adjustment lower an available balance to below its floor', () => {
    always((steps) => {
      play(steps, ({ book, command, decision }) => {
        if (!decision.accepted || command.kind === 'adjust') return;
        for (const [id, after] of decision.balances) {
          const { normalSide, minAvailable } = book.account(id) as Account;
          const now = availableAmount(normalSide, after);
          const before = availableAmount(normalSide, balanceOf(book, id));
          if (minAvailable !== null && now < before) expect(now).toBeGreaterThanOrEqual(minAvailable);
        }
      });
    });
  });

  it('never holds less than nothing, and what payments hold alone once every hold is closed', () => {
    always((steps) => {
      const book = play(steps, ({ decision }) => {
        if (!decision.accepted) return;
        for (const { pendingDebits, pendingCredits } of decision.balances.values()) {
          expect(pendingDebits).toBeGreaterThanOrEqual(0n);
          expect(pendingCredits).toBeGreaterThanOrEqual(0n);
        }
      });
      for (const [id, state] of [...book.states]) if (state.remaining > 0n) book.accept({ kind: 'void', parentId: id });
      const held = heldByPayments(book);
      for (const { id } of ACCOUNTS) {
        expect(balanceOf(book, id)).toMatchObject({
          pendingDebits: held.get(`${id} debit`) ?? 0n,
          pendingCredits: held.get(`${id} credit`) ?? 0n,
        });
      }
    });
  });

  it('leaves of every account and side what the captures, releases and standing reversals of a transaction have not taken', () => {
    // By definition, from the transactions alone: a reversal takes as much as of itself is not reversed.
    const leftOf = ({ id, kind, entries }: Transaction, all: readonly Transaction[]): Map<string, bigint> => {
      const left = new Map<string, bigint>();
      const add = (accountId: bigint, direction: Side, amount: bigint): void => {
        left.set(`${accountId} ${direction}`, (left.get(`${accountId} ${direction}`) ?? 0n) + amount);
      };
      const moved = kind !== 'void' && kind !== 'expiry' && kind !== 'adjustment';
      for (const entry of entries) {
        add(entry.accountId, entry.direction, moved ? (kind === 'pending' ? entry.pending : entry.posted) : 0n);
      }
      for (const child of all.filter(({ parentId }) => parentId === id)) {
        if (child.kind === 'reversal') {
          for (const [key, amount] of leftOf(child, all)) {
            const [accountId, direction] = key.split(' ') as [string, Side];
            add(BigInt(accountId), direction === 'debit' ? 'credit' : 'debit', -amount);
          }
        } else {
          for (const entry of child.entries) add(entry.accountId, entry.direction, entry.pending);
        }
      }
      return left;
    };
    always((steps) => {
      const book = play(steps);
      const all = [...book.transactions.values()];
      for (const transaction of all) {
        const { left } = book.states.get(transaction.id) ?? initialState(transaction);
        const told = new Map<string, bigint>();
        for (const [place, { accountId, direction }] of transaction.entries.entries()) {
          const key = `${accountId} ${direction}`;
          told.set(key, (told.get(key) ?? 0n) + (left[place] as bigint));
        }
        expect(told).toEqual(leftOf(transaction, all));
        for (const amount of left) expect(amount).toBeGreaterThanOrEqual(0n);
      }
    });
  });

  it('takes nothing back in total that was not posted, whatever was reversed and reversed again', () => {
    always((steps) => {
      const book = play(steps);
      const all = [...book.transactions.values()];
      const rootOf = (transaction: Transaction): Transaction =>
        transaction.kind === 'reversal'
          ? rootOf(book.transactions.get(transaction.parentId as bigint) as Transaction)
          : transaction;
      const nets = new Map<string, bigint>();
      for (const transaction of all) {
        const root = rootOf(transaction);
        for (const { accountId, direction, posted } of transaction.entries) {
          const key = `${root.id} ${accountId}`;
          nets.set(key, (nets.get(key) ?? 0n) + sign(direction) * posted);
        }
      }
      for (const root of all.filter(({ kind }) => kind === 'posted' || kind === 'capture')) {
        const sides = Map.groupBy(root.entries, ({ accountId }) => accountId);
        for (const [accountId, entries] of sides) {
          const sums = entries.map(({ direction, posted }) => sign(direction) * posted);
          const most = sums.filter((sum) => sum > 0n).reduce((a, b) => a + b, 0n);
          const least = sums.filter((sum) => sum < 0n).reduce((a, b) => a + b, 0n);
          const net = nets.get(`${root.id} ${accountId}`) as bigint;
          expect(net <= most && net >= least).toBe(true);
        }
      }
    });
  });

  it('moves nothing of a closed account', () => {
    always((steps) => {
      play(steps, ({ book, command, decision }) => {
        if (!decision.accepted || command.kind === 'reopen') return;
        for (const id of decision.balances.keys()) expect(balanceOf(book, id).closed).toBe(false);
      });
    });
  });

  it('is decided alike by every replica, from the book and the command alone, which stay as they were', () => {
    // MemoryBook freezes all that it hands out, so that a write to an argument throws; the maps are compared.
    const image = (book: MemoryBook): string =>
      JSON.stringify([[...book.balances], [...book.states], [...book.transactions]], (_key, value) =>
        typeof value === 'bigint' ? `${value}n` : value,
      );
    fc.assert(
      fc.property(sequences, (steps) => {
        let before: string | undefined;
        play(steps, ({ book, command, id, decision }) => {
          before ??= image(book);
          const again = book.decide(command, id);
          expect(again).toStrictEqual(decision);
          expect(image(book)).toBe(before);
          if (decision.accepted) before = undefined;
        });
      }),
      { ...RUNS, numRuns: 50 },
    );
  });
});

describe('the model', () => {
  it('accepts and refuses the same commands, a refusal naming a rule that it finds broken', () => {
    always((steps) => {
      const model = new LedgerModel(ACCOUNTS);
      play(steps, ({ command, id, decision }) => {
        const broken = model.broken(command, snowflakeTimeMs(id));
        if (decision.accepted) expect([...broken]).toEqual([]);
        else expect([...broken]).toContain(decision.code);
        if (decision.accepted) model.apply(command, id);
      });
    });
  });

  it('comes to the same balances', () => {
    always((steps) => {
      const model = new LedgerModel(ACCOUNTS);
      const book = play(steps, ({ command, id, decision }) => {
        if (decision.accepted) model.apply(command, id);
      });
      for (const { id, normalSide, sum, held, entries, closed } of model.accounts.values()) {
        const balance = balanceOf(book, id);
        expect(balance.postedDebits - balance.postedCredits).toBe(sum);
        expect(balance).toMatchObject({
          pendingDebits: held.debit,
          pendingCredits: held.credit,
          version: entries,
          closed,
        });
        expect(availableAmount(normalSide, balance)).toBe(model.available(id));
      }
    });
  });

  it('comes to the same state of every hold and every reversed transaction', () => {
    always((steps) => {
      const model = new LedgerModel(ACCOUNTS);
      const book = play(steps, ({ command, id, decision }) => {
        if (decision.accepted) model.apply(command, id);
      });
      for (const [id, transaction] of book.transactions) {
        const modelled = model.transactions.get(id) as Modelled;
        const state = book.states.get(id) ?? initialState(transaction);
        expect(state.status).toBe(modelled.status);
        expect(state.remaining > 0n).toBe(modelled.open);
        expect(state.left).toEqual(modelled.legs.map((leg) => leg.left));
      }
    });
  });
});

it('the sequences meet every kind of command, accepted and refused, and every code', () => {
  const counts: Record<string, { accepted: number; refused: number }> = {};
  const codes: Partial<Record<ProblemCode, number>> = {};
  const met = {
    'final part': 0,
    'open part': 0,
    'last part': 0,
    'part reversed': 0,
    'several amounts captured': 0,
    'parts captured by account': 0,
    'parts reversed by account': 0,
    'a reversal reversed': 0,
    'and that reversed': 0,
    'reversed otherwise meanwhile': 0,
    'capture too late': 0,
    'a hold of a payment released': 0,
    'a floor passed by a payment': 0,
    'a change of what belongs to a payment': 0,
  };
  always((steps) => {
    play(steps, ({ book, command, id, decision }) => {
      const kind = command.kind === 'post' && command.pending ? 'hold' : command.kind;
      counts[kind] ??= { accepted: 0, refused: 0 };
      counts[kind][decision.accepted ? 'accepted' : 'refused'] += 1;
      if (!decision.accepted) {
        codes[decision.code] = (codes[decision.code] ?? 0) + 1;
        const due = command.kind === 'capture' && book.parent(command.parentId)?.transaction.expiresAtMs;
        if (due && decision.code === 'not_pending' && due <= snowflakeTimeMs(id)) met['capture too late'] += 1;
        if (decision.detail.includes('belongs to a payment')) met['a change of what belongs to a payment'] += 1;
        if (decision.detail.includes('reversed otherwise')) met['reversed otherwise meanwhile'] += 1;
        return;
      }
      if (command.kind === 'adjust') {
        if (command.entries.some(({ pending }) => pending < 0n)) met['a hold of a payment released'] += 1;
        const isBelow = ([accountId, after]: [bigint, Balance]) => {
          const { normalSide, minAvailable } = book.account(accountId) as Account;
          return minAvailable !== null && availableAmount(normalSide, after) < minAvailable;
        };
        if ([...decision.balances].some(isBelow)) met['a floor passed by a payment'] += 1;
      }
      if (command.kind === 'capture' && command.entries) met['parts captured by account'] += 1;
      if (command.kind === 'reverse') {
        if (command.entries) met['parts reversed by account'] += 1;
        if (decision.states.length > 1) met['a reversal reversed'] += 1;
        if (decision.states.length > 2) met['and that reversed'] += 1;
      }
      if (
        command.kind === 'reverse' &&
        decision.states[0]?.value.reversed !== book.transactions.get(command.parentId)?.amount
      ) {
        met['part reversed'] += 1;
      }
      if (command.kind !== 'capture') return;
      const before = book.states.get(command.parentId)?.remaining ?? 0n;
      if (decision.states[0]?.value.status === 'partially_posted') met['open part'] += 1;
      else if (before > (decision.transaction?.amount ?? 0n)) met['final part'] += 1;
      else met['last part'] += 1;
      if ((decision.transaction?.entries.length ?? 0) > 2) met['several amounts captured'] += 1;
    });
  });
  console.info('commands', counts, 'refusals', codes, 'met', met);
  expect(Object.keys(counts).sort().join(' ')).toBe('adjust capture close expire hold post reopen reverse void');
  for (const { accepted, refused } of Object.values(counts)) expect(Math.min(accepted, refused)).toBeGreaterThan(0);
  expect(Object.keys(codes).sort()).toEqual([
    'account_closed',
    'already_reversed',
    'amount_exceeds_remaining',
    'amount_out_of_range',
    'condition_failed',
    'currency_mismatch',
    'insufficient_funds',
    'invalid_transition',
    'not_found',
    'not_pending',
    'unbalanced_entries',
    'validation_failed',
  ]);
  for (const [what, times] of Object.entries(met)) expect(times, what).toBeGreaterThan(0);
});
