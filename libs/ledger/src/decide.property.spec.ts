import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_AMOUNT } from '#kernel/money.js';
import type { ProblemCode } from '#kernel/problem.js';
import { snowflakeTimeMs } from '#kernel/snowflake.js';
import { deepFreeze, MemoryBook } from '../../../test/support/memory-book.js';
import { type Account, availableAmount, type Balance, type Side, ZERO_TOTALS } from './account.js';
import type { Command as AnyCommand, Decision, EntryRequest, Malformed, Part, Post, Reverse } from './command.js';
import { decide } from './decide.js';
import { type Entry, initialState, type Transaction, type TransactionStatus } from './transaction.js';

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
/** What reaches the rules: items that could not be read are refused before. */
type Command = Exclude<AnyCommand, Malformed>;

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

function commandOf(step: Step, book: MemoryBook): Command {
  switch (step.do) {
    case 'post':
      return postingOf(step, book);
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
  command: Command;
  id: bigint;
  decision: Decision;
}

/** Plays a sequence on a new book. `visit` sees each decision before it is carried out. */
function play(steps: readonly Step[], visit: (moment: Moment) => void = () => undefined): MemoryBook {
  const book = new MemoryBook();
  for (const account of ACCOUNTS) book.open(account);
  for (const step of [...FUNDING, ...steps]) {
    book.nowMs += step.afterMs;
    const command = deepFreeze(commandOf(step, book));
    const id = book.nextId();
    const decision = decide(book, command, id);
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

function sign(direction: Side): bigint {
  return direction === 'debit' ? 1n : -1n;
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

  it('lets no transaction lower an available balance to below its floor', () => {
    always((steps) => {
      play(steps, ({ book, decision }) => {
        if (!decision.accepted) return;
        for (const [id, after] of decision.balances) {
          const { normalSide, minAvailable } = book.account(id) as Account;
          const now = availableAmount(normalSide, after);
          const before = availableAmount(normalSide, balanceOf(book, id));
          if (minAvailable !== null && now < before) expect(now).toBeGreaterThanOrEqual(minAvailable);
        }
      });
    });
  });

  it('never holds less than nothing, and nothing once every hold is closed', () => {
    always((steps) => {
      const book = play(steps, ({ decision }) => {
        if (!decision.accepted) return;
        for (const { pendingDebits, pendingCredits } of decision.balances.values()) {
          expect(pendingDebits).toBeGreaterThanOrEqual(0n);
          expect(pendingCredits).toBeGreaterThanOrEqual(0n);
        }
      });
      for (const [id, state] of [...book.states]) if (state.remaining > 0n) book.accept({ kind: 'void', parentId: id });
      for (const { id } of ACCOUNTS)
        expect(balanceOf(book, id)).toMatchObject({ pendingDebits: 0n, pendingCredits: 0n });
    });
  });

  it('leaves of every account and side what the captures, releases and standing reversals of a transaction have not taken', () => {
    // By definition, from the transactions alone: a reversal takes as much as of itself is not reversed.
    const leftOf = ({ id, kind, entries }: Transaction, all: readonly Transaction[]): Map<string, bigint> => {
      const left = new Map<string, bigint>();
      const add = (accountId: bigint, direction: Side, amount: bigint): void => {
        left.set(`${accountId} ${direction}`, (left.get(`${accountId} ${direction}`) ?? 0n) + amount);
      };
      const moved = kind !== 'void' && kind !== 'expiry';
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
          const again = decide(book, command, id);
          expect(again).toStrictEqual(decision);
          expect(image(book)).toBe(before);
          if (decision.accepted) before = undefined;
        });
      }),
      { ...RUNS, numRuns: 50 },
    );
  });
});

// ---- a separate, simple model of the same rules

interface Leg {
  account: bigint;
  sign: bigint;
  currency: string;
  amount: bigint;
  /** Still held, or not reversed. */
  left: bigint;
}

interface Modelled {
  nature: 'money' | 'hold' | 'release';
  legs: Leg[];
  /** Only these can be moved in part. */
  oneAmount: boolean;
  expiresAtMs: number;
  status: TransactionStatus;
  open: boolean;
  /** What a reversal takes back. */
  reverses: Modelled | undefined;
}

/** Signed sums (debits positive) instead of four totals, and one flat list of rules instead of an order of checks. */
class Model {
  readonly transactions = new Map<bigint, Modelled>();
  readonly accounts = new Map(
    ACCOUNTS.map((account) => [
      account.id,
      { ...account, sum: 0n, held: { debit: 0n, credit: 0n }, entries: 0n, closed: false },
    ]),
  );

  /** Minor units that may be spent: what is there, less what is held against it. */
  available(id: bigint): bigint {
    const account = this.#account(id);
    return account.normalSide === 'debit' ? account.sum - account.held.credit : -account.sum - account.held.debit;
  }

  /** Every rule that the command breaks. None: it must be accepted. */
  broken(command: Command, nowMs: number): Set<ProblemCode> {
    const codes = new Set<ProblemCode>();
    if (command.kind === 'post') this.#brokenByPosting(command, codes);
    else if (command.kind === 'close') {
      const account = this.accounts.get(command.accountId);
      if (!account) codes.add('not_found');
      else if (account.closed || account.sum !== 0n || account.held.debit !== 0n || account.held.credit !== 0n) {
        codes.add('invalid_transition');
      }
    } else if (command.kind === 'reopen') {
      if (!this.accounts.has(command.accountId)) codes.add('not_found');
    } else {
      const parent = this.transactions.get(command.parentId);
      if (!parent) codes.add('not_found');
      else if (command.kind === 'reverse') this.#brokenByReversal(command, parent, codes);
      else this.#brokenByHoldMove(command, parent, nowMs, codes);
    }
    return codes;
  }

  #brokenByPosting({ entries, pending }: Post, codes: Set<ProblemCode>): void {
    for (const currency of ['EUR', 'USD']) {
      const sum = entries
        .filter((entry) => entry.currency === currency)
        .reduce((total, entry) => total + sign(entry.direction) * entry.amount, 0n);
      if (sum !== 0n) codes.add('unbalanced_entries');
    }
    for (const entry of entries) {
      const account = this.accounts.get(entry.accountId);
      if (!account) codes.add('not_found');
      else {
        if (account.currency !== entry.currency) codes.add('currency_mismatch');
        if (account.closed) codes.add('account_closed');
      }
      if (entry.amount > MAX_AMOUNT) codes.add('amount_out_of_range');
    }
    if (codes.has('not_found')) return;
    const after = this.#afterwards(legsOf(entries), pending);
    this.#brokenFloors(after, codes);
    for (const { accountId, conditions } of entries) {
      if (conditions?.version !== undefined && conditions.version !== this.#account(accountId).entries) {
        codes.add('condition_failed');
      }
      const least = conditions?.minAvailable;
      if (least !== undefined && (after.get(accountId) as bigint) < least) codes.add('condition_failed');
    }
  }

  #brokenByReversal(command: Reverse, parent: Modelled, codes: Set<ProblemCode>): void {
    if (parent.nature !== 'money') {
      codes.add('invalid_transition');
      return;
    }
    if (parent.legs.every((leg) => leg.left === 0n)) codes.add('already_reversed');
    const taken = this.#taken(command, parent, codes);
    if (this.#lefts(parent, taken).some(({ left }) => left.some((amount) => amount < 0n))) {
      codes.add('amount_exceeds_remaining');
    }
    const legs = parent.legs.map((leg, i) => ({ ...leg, sign: -leg.sign, amount: taken[i] as bigint }));
    const moving = legs.filter(({ amount }) => amount > 0n);
    if (moving.some((leg) => this.#account(leg.account).closed)) codes.add('account_closed');
    this.#brokenFloors(this.#afterwards(moving, false), codes);
  }

  /** What is taken of each leg, and which rules of parts are broken. */
  #taken(
    { amount, entries }: { amount?: bigint; entries?: readonly Part[] },
    parent: Modelled,
    codes: Set<ProblemCode>,
  ) {
    if (!entries) {
      if (amount === undefined) return parent.legs.map((leg) => leg.left);
      if (!parent.oneAmount) codes.add('validation_failed');
      else if (amount > (parent.legs[0] as Leg).left) codes.add('amount_exceeds_remaining');
      return parent.legs.map(() => amount);
    }
    const taken = parent.legs.map(() => 0n);
    for (const [index, part] of entries.entries()) {
      const own = parent.legs.filter((leg) => leg.account === part.accountId);
      const before = entries.slice(0, index).some(({ accountId }) => accountId === part.accountId);
      if (before || new Set(own.map((leg) => leg.sign)).size !== 1) codes.add('validation_failed');
      if (part.amount > own.reduce((sum, leg) => sum + leg.left, 0n)) codes.add('amount_exceeds_remaining');
      let rest = part.amount;
      for (const leg of own) {
        const part = rest < leg.left ? rest : leg.left;
        taken[parent.legs.indexOf(leg)] = part;
        rest -= part;
      }
    }
    for (const currency of ['EUR', 'USD']) {
      const sums = parent.legs.map((leg, i) => (leg.currency === currency ? leg.sign * (taken[i] as bigint) : 0n));
      if (sums.reduce((a, b) => a + b, 0n) !== 0n) codes.add('unbalanced_entries');
    }
    return taken;
  }

  /** What a reversal leaves of its parent, and of all those that the parent, a reversal, goes back to; below zero: too much. */
  #lefts(parent: Modelled, taken: readonly bigint[]): { of: Modelled; left: bigint[] }[] {
    const lefts = [{ of: parent, left: parent.legs.map((leg, i) => leg.left - (taken[i] as bigint)) }];
    const parts = parent.legs.map((leg, i) => ({ account: leg.account, sign: leg.sign, amount: taken[i] as bigint }));
    let [flip, way] = [-1n, 1n];
    for (let of = parent.reverses; of; of = of.reverses, flip = -flip, way = -way) {
      const left = of.legs.map((leg) => leg.left);
      for (const part of parts) {
        let rest = part.amount;
        const own = of.legs.flatMap((leg, i) =>
          leg.account === part.account && leg.sign === part.sign * flip ? [i] : [],
        );
        for (const i of own) {
          const room = way === 1n ? (of.legs[i] as Leg).amount - (left[i] as bigint) : (left[i] as bigint);
          const moved = i === own.at(-1) || rest < room ? rest : room;
          left[i] = (left[i] as bigint) + way * moved;
          rest -= moved;
        }
      }
      lefts.push({ of, left });
    }
    return lefts;
  }

  #brokenByHoldMove(
    command: Extract<Command, { kind: 'capture' | 'void' | 'expire' }>,
    parent: Modelled,
    nowMs: number,
    codes: Set<ProblemCode>,
  ): void {
    if (!parent.open) codes.add('not_pending');
    else if (command.kind === 'expire') {
      if (nowMs < parent.expiresAtMs) codes.add('invalid_transition');
    } else if (command.kind === 'capture') {
      if (nowMs >= parent.expiresAtMs) codes.add('not_pending');
      this.#taken(command, parent, codes);
    }
  }

  #brokenFloors(after: ReadonlyMap<bigint, bigint>, codes: Set<ProblemCode>): void {
    for (const [id, available] of after) {
      const { minAvailable } = this.#account(id);
      if (minAvailable !== null && available < minAvailable && available < this.available(id))
        codes.add('insufficient_funds');
    }
  }

  /** What would be available on each account of the legs. */
  #afterwards(legs: readonly Omit<Leg, 'left'>[], pending: boolean): Map<bigint, bigint> {
    const after = new Map<bigint, bigint>();
    for (const { account: id, sign, amount } of legs) {
      const raises = (sign === 1n) === (this.#account(id).normalSide === 'debit');
      const delta = raises ? (pending ? 0n : amount) : -amount;
      after.set(id, (after.get(id) ?? this.available(id)) + delta);
    }
    return after;
  }

  /** Carries out an accepted command. */
  apply(command: Command, id: bigint): void {
    if ('accountId' in command) this.#account(command.accountId).closed = command.kind === 'close';
    else if (command.kind === 'post') {
      const legs = legsOf(command.entries);
      const nature = command.pending ? 'hold' : 'money';
      this.#add(id, { nature, legs, expiresAtMs: command.expiresAtMs ?? Number.POSITIVE_INFINITY });
      for (const leg of legs) this.#move(leg, command.pending ? { hold: leg.amount } : { take: leg.amount });
    } else {
      const parent = this.transactions.get(command.parentId) as Modelled;
      if (command.kind === 'reverse') this.#reverse(command, parent, id);
      else this.#moveHold(command, parent, id);
    }
  }

  #reverse(command: Reverse, parent: Modelled, id: bigint): void {
    const taken = this.#taken(command, parent, new Set());
    const legs = parent.legs.flatMap((leg, i) => {
      const amount = taken[i] as bigint;
      return amount > 0n ? [{ ...leg, sign: -leg.sign, amount, left: amount }] : [];
    });
    for (const { of, left } of this.#lefts(parent, taken)) {
      for (const [i, leg] of of.legs.entries()) leg.left = left[i] as bigint;
    }
    this.#add(id, { nature: 'money', legs, reverses: parent });
    for (const leg of legs) this.#move(leg, { take: leg.amount });
  }

  #moveHold(command: Extract<Command, { kind: 'capture' | 'void' | 'expire' }>, parent: Modelled, id: bigint): void {
    const capture = command.kind === 'capture';
    const taken = capture ? this.#taken(command, parent, new Set()) : parent.legs.map(() => 0n);
    const legs = parent.legs.flatMap((leg, i) => {
      const amount = taken[i] as bigint;
      const left = capture && !command.final ? leg.left - amount : 0n;
      const hold = left - leg.left;
      leg.left = left;
      if (amount === 0n && hold === 0n) return [];
      this.#move(leg, { take: amount, hold });
      return [{ ...leg, amount, left: amount }];
    });
    parent.open = parent.legs.some((leg) => leg.left > 0n);
    parent.status = capture
      ? parent.open
        ? 'partially_posted'
        : 'posted'
      : command.kind === 'void'
        ? 'voided'
        : 'expired';
    this.#add(id, { nature: capture ? 'money' : 'release', legs });
  }

  #add(id: bigint, rest: Pick<Modelled, 'nature' | 'legs'> & Partial<Modelled>): void {
    const [first, second] = rest.legs as [Leg, Leg];
    this.transactions.set(id, {
      oneAmount: rest.legs.length === 2 && first.amount === second.amount && first.sign === -second.sign,
      expiresAtMs: Number.POSITIVE_INFINITY,
      status: rest.nature === 'hold' ? 'pending' : 'posted',
      open: rest.nature === 'hold',
      reverses: undefined,
      ...rest,
    });
  }

  #move(leg: Leg, { take = 0n, hold = 0n }: { take?: bigint; hold?: bigint }): void {
    const account = this.#account(leg.account);
    account.sum += leg.sign * take;
    account.held[leg.sign === 1n ? 'debit' : 'credit'] += hold;
    account.entries += 1n;
  }

  #account(id: bigint) {
    const account = this.accounts.get(id);
    if (!account) throw new Error(`the model has no account ${id}`);
    return account;
  }
}

function legsOf(entries: readonly EntryRequest[]): Leg[] {
  return entries.map(({ accountId, direction, currency, amount }) => ({
    account: accountId,
    sign: sign(direction),
    currency,
    amount,
    left: amount,
  }));
}

describe('the model', () => {
  it('accepts and refuses the same commands, a refusal naming a rule that it finds broken', () => {
    always((steps) => {
      const model = new Model();
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
      const model = new Model();
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
      const model = new Model();
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
        if (decision.detail.includes('reversed otherwise')) met['reversed otherwise meanwhile'] += 1;
        return;
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
  expect(Object.keys(counts).sort().join(' ')).toBe('capture close expire hold post reopen reverse void');
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
