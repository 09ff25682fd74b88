import type { FieldError, ProblemCode } from '#kernel/problem.js';
import type { Account, AccountRef, Balance, Side } from '../accounts/account.js';
import type { Transaction, TransactionState } from './transaction.js';

/** What `decide` is asked and what it answers. */

/** Limits of the contract that the ledger itself relies on. */
export const MIN_ENTRIES = 2;
export const MAX_ENTRIES = 100;
export const MAX_BATCH = 1_000;
/**
 * Reversals of reversals in a row: each changes where all those before it stand, so that its cost grows with every one. A bank
 * that sends a payment to and fro needs a few.
 */
export const MAX_REVERSAL_DEPTH = 20;
/** How far `effective_at` may lie ahead of this process's clock: room for a client's clock that runs fast. */
export const EFFECTIVE_AT_MAX_AHEAD_MS = 300_000;

export interface EntryRequest {
  accountId: bigint;
  direction: Side;
  /** Minor units, > 0. */
  amount: bigint;
  currency: string;
  conditions?: { minAvailable?: bigint; version?: bigint };
}

/** What a client may say about a transaction beside its money. */
export interface Facts {
  description?: string;
  externalRef?: string;
  /** Milliseconds since 1970; absent: when it is recorded, but never before the parent. */
  effectiveAtMs?: number;
  /** JSON text. */
  metadata?: string;
}

export interface Post extends Facts {
  kind: 'post';
  pending: boolean;
  type: string;
  /** Pending ones only. */
  expiresAtMs?: number;
  /** Post it although an account falls below its floor. */
  ignoreFloor?: boolean;
  entries: EntryRequest[];
}

/** A posting as a client asks for it: accounts by id or by code. */
export interface PostRequest extends Omit<Post, 'kind' | 'entries'> {
  entries: {
    account: AccountRef;
    direction: Side;
    amount: bigint;
    currency: string;
    conditions?: EntryRequest['conditions'];
  }[];
}

/** Minor units, > 0, of what the parent has on an account. */
export interface Part {
  accountId: bigint;
  amount: bigint;
}

/** Posts what is held: whole, `amount` of a single-amount hold, or parts that balance; `final` releases the rest. */
export interface CaptureHold extends Facts {
  kind: 'capture';
  parentId: bigint;
  amount?: bigint;
  entries?: readonly Part[];
  final: boolean;
}

/** Releases what is still held. `expire` is the worker's form: it does so only once `expiresAtMs` has passed. */
export interface VoidHold extends Facts {
  kind: 'void' | 'expire';
  parentId: bigint;
}

/** Takes a posted transaction back, whole or in part, never more than once in total. Of a reversal: gives that back. */
export interface Reverse extends Facts {
  kind: 'reverse';
  parentId: bigint;
  amount?: bigint;
  entries?: readonly Part[];
  ignoreFloor?: boolean;
}

/** A line that is proposed: minor units, added to the posted and to the pending total of its side. */
export interface NewEntry {
  accountId: bigint;
  direction: Side;
  currency: string;
  posted: bigint;
  pending: bigint;
}

/**
 * What a payment's position moves by: money that is posted and money that is held or released, in one transaction that nothing
 * changes afterwards and that no floor binds. For extensions of commit groups; a client cannot ask for it.
 */
export interface Adjust extends Facts {
  kind: 'adjust';
  type: string;
  /** At most MAX_ENTRIES. What is posted balances in each currency, and so does what is pending, which may be below zero. */
  entries: readonly NewEntry[];
}

/** What changes a transaction that is there, its parent. */
export type TransactionChange = CaptureHold | VoidHold | Reverse;

export type Command = Post | Adjust | TransactionChange;

/** A transaction that a command refers to, with where it stands now (undefined: it never moved). */
export interface Parent {
  transaction: Transaction;
  state: TransactionState | undefined;
}

/** What `decide` may read: one merchant's accounts, balances and referred transactions. */
export interface Book {
  account(id: bigint): Account | undefined;
  balance(id: bigint): Balance | undefined;
  parent(id: bigint): Parent | undefined;
}

export interface Accepted {
  accepted: true;
  transaction: Transaction;
  /** The new balance of each account touched. */
  balances: ReadonlyMap<bigint, Balance>;
  /** Where transactions now stand: the parent, or the new pending one itself; then those whose reversal was reversed. */
  states: readonly StateChange[];
}

export interface StateChange {
  transactionId: bigint;
  expiresAtMs: number | undefined;
  value: TransactionState;
}

/** What a refusal says to the client. */
export interface Refused {
  accepted: false;
  code: ProblemCode;
  detail: string;
  errors: FieldError[] | undefined;
  /** Of the request that was refused; named as in problem documents and in what idempotency keys keep. */
  trace_id?: string;
}

export type Decision = Accepted | Refused;
