import { EPOCH_MS, firstSnowflakeAt, snowflakeTimeMs } from '#kernel/snowflake.js';
import { type Account, type Balance, EMPTY_BALANCE } from '#ledger/accounts/account.js';
import { refusedChange, type StatusChange } from '#ledger/accounts/account-status.js';
import type { Accepted, Book, Command, Parent, Refused, StateChange } from '#ledger/posting/command.js';
import { decide } from '#ledger/posting/decide.js';
import type { Transaction, TransactionState } from '#ledger/posting/transaction.js';

/** What can be done to a book: a posting, or a change of an account's status, which posts nothing. */
export type BookCommand = Command | StatusChange;
export type Done = Omit<Accepted, 'transaction'> & { transaction: Transaction | undefined };

export const START_MS = EPOCH_MS + 60_000_000_000;

/** One merchant's book in memory. Everything that it hands out or takes in is frozen to the bottom: `decide` may change nothing. */
export class MemoryBook implements Book {
  readonly accounts = new Map<bigint, Account>();
  readonly balances = new Map<bigint, Balance>();
  readonly transactions = new Map<bigint, Transaction>();
  readonly states = new Map<bigint, TransactionState>();
  nowMs = START_MS;
  #lastId = 0n;

  open(account: Account, balance: Partial<Balance> = {}): Account {
    this.accounts.set(account.id, deepFreeze(account));
    this.balances.set(account.id, deepFreeze({ ...EMPTY_BALANCE, ...balance }));
    return account;
  }

  account(id: bigint): Account | undefined {
    return this.accounts.get(id);
  }

  balance(id: bigint): Balance | undefined {
    return this.balances.get(id);
  }

  parent(id: bigint): Parent | undefined {
    const transaction = this.transactions.get(id);
    return transaction && deepFreeze({ transaction, state: this.states.get(id) });
  }

  /** Greater than every earlier one, and of the present millisecond as long as the clock does not go back. */
  nextId(): bigint {
    const first = firstSnowflakeAt(this.nowMs);
    this.#lastId = first > this.#lastId ? first : this.#lastId + 1n;
    if (snowflakeTimeMs(this.#lastId) !== this.nowMs) throw new Error('too many ids in one millisecond');
    return this.#lastId;
  }

  /** What the command would do. Changes nothing. */
  consider(command: BookCommand): Done | Refused {
    return this.decide(command, this.nextId());
  }

  decide(command: BookCommand, id: bigint): Done | Refused {
    if (!('accountId' in command)) return decide(this, deepFreeze(command), id);
    const { accountId, kind } = command;
    const balance = this.balances.get(accountId);
    const refused = refusedChange(balance, command);
    if (refused || !balance) return refused as Refused;
    const closed = kind === 'close';
    const balances = new Map(balance.closed === closed ? [] : [[accountId, { ...balance, closed }]]);
    return { accepted: true, transaction: undefined, balances, states: [] };
  }

  apply(decision: Done): void {
    for (const [id, balance] of decision.balances) this.balances.set(id, deepFreeze(balance));
    if (decision.transaction) this.transactions.set(decision.transaction.id, deepFreeze(decision.transaction));
    for (const { transactionId, value } of decision.states) this.states.set(transactionId, deepFreeze(value));
  }

  /** Carries the command out; throws when it is refused. `state`: the parent's, or its own. */
  accept(command: BookCommand): Accepted & { transaction: Transaction; state: StateChange | undefined } {
    const decision = this.consider(command);
    if (!decision.accepted) throw new Error(`refused: ${decision.code}: ${decision.detail}`);
    this.apply(decision);
    return { ...decision, transaction: decision.transaction as Transaction, state: decision.states[0] };
  }

  /** The refusal that the command meets; throws when it is accepted. */
  refusal(command: BookCommand): Refused {
    const decision = this.consider(command);
    if (decision.accepted) throw new Error(`${command.kind} was accepted`);
    return decision;
  }
}

/** Freezes plain objects and arrays to the bottom. Maps stay open: hand out nothing that holds one. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  for (const inner of Object.values(value)) deepFreeze(inner);
  return Object.freeze(value);
}
