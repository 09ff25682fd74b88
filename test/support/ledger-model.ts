import { MAX_AMOUNT } from '#kernel/money.js';
import type { ProblemCode } from '#kernel/problem.js';
import type { Account, Side } from '#ledger/accounts/account.js';
import type { Adjust, EntryRequest, Part, Post, Reverse } from '#ledger/posting/command.js';
import type { TransactionStatus } from '#ledger/posting/transaction.js';
import type { BookCommand } from './memory-book.js';

/** A separate, simple model of the rules of `decide`, to be compared with it. */

export interface ModelledAccount extends Account {
  /** Debits less credits. */
  sum: bigint;
  held: Record<Side, bigint>;
  entries: bigint;
  closed: boolean;
}

export interface Leg {
  account: bigint;
  sign: bigint;
  currency: string;
  amount: bigint;
  /** Still held, or not reversed. */
  left: bigint;
}

export interface Modelled {
  nature: 'money' | 'hold' | 'release' | 'payment';
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
export class LedgerModel {
  readonly transactions = new Map<bigint, Modelled>();
  readonly accounts: Map<bigint, ModelledAccount>;

  constructor(accounts: readonly Account[]) {
    this.accounts = new Map(
      accounts.map((account) => [
        account.id,
        { ...account, sum: 0n, held: { debit: 0n, credit: 0n }, entries: 0n, closed: false },
      ]),
    );
  }

  /** Minor units that may be spent: what is there, less what is held against it. */
  available(id: bigint): bigint {
    const account = this.#account(id);
    return account.normalSide === 'debit' ? account.sum - account.held.credit : -account.sum - account.held.debit;
  }

  /** Every rule that the command breaks. None: it must be accepted. */
  broken(command: BookCommand, nowMs: number): Set<ProblemCode> {
    const codes = new Set<ProblemCode>();
    if (command.kind === 'post') this.#brokenByPosting(command, codes);
    else if (command.kind === 'adjust') this.#brokenByAdjusting(command, codes);
    else if ('accountId' in command) {
      const account = this.accounts.get(command.accountId);
      if (!account) codes.add('not_found');
      else if (command.kind === 'close') {
        const { closed, sum, held } = account;
        if (closed || sum !== 0n || held.debit !== 0n || held.credit !== 0n) codes.add('invalid_transition');
      }
    } else {
      const parent = this.transactions.get(command.parentId);
      if (!parent) codes.add('not_found');
      else if (parent.nature === 'payment') codes.add('invalid_transition');
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

  #brokenByAdjusting({ entries }: Adjust, codes: Set<ProblemCode>): void {
    for (const currency of ['EUR', 'USD']) {
      const own = entries.filter((entry) => entry.currency === currency);
      for (const of of ['posted', 'pending'] as const) {
        if (own.reduce((sum, entry) => sum + sign(entry.direction) * entry[of], 0n) !== 0n)
          codes.add('unbalanced_entries');
      }
    }
    for (const { accountId, currency, posted, pending } of entries) {
      const account = this.accounts.get(accountId);
      if (!account) codes.add('not_found');
      else if (account.currency !== currency) codes.add('currency_mismatch');
      if (account?.closed) codes.add('account_closed');
      if ([posted, pending, -pending].some((amount) => amount > MAX_AMOUNT)) codes.add('amount_out_of_range');
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
    command: Extract<BookCommand, { kind: 'capture' | 'void' | 'expire' }>,
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
  apply(command: BookCommand, id: bigint): void {
    if ('accountId' in command) this.#account(command.accountId).closed = command.kind === 'close';
    else if (command.kind === 'post') {
      const legs = legsOf(command.entries);
      const nature = command.pending ? 'hold' : 'money';
      this.#add(id, { nature, legs, expiresAtMs: command.expiresAtMs ?? Number.POSITIVE_INFINITY });
      for (const leg of legs) this.#move(leg, command.pending ? { hold: leg.amount } : { take: leg.amount });
    } else if (command.kind === 'adjust') {
      const legs = legsOf(command.entries.map(({ posted, ...entry }) => ({ ...entry, amount: posted })));
      for (const [i, leg] of legs.entries())
        this.#move(leg, { take: leg.amount, hold: command.entries[i]?.pending ?? 0n });
      this.#add(id, { nature: 'payment', legs: legs.map((leg) => ({ ...leg, left: 0n })) });
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

  #moveHold(
    command: Extract<BookCommand, { kind: 'capture' | 'void' | 'expire' }>,
    parent: Modelled,
    id: bigint,
  ): void {
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

export function sign(direction: Side): bigint {
  return direction === 'debit' ? 1n : -1n;
}
