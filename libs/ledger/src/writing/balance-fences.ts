import type { Span } from '@opentelemetry/api';
import type { Balance } from '../accounts/account.js';

/** What the writer asks of the balance cache. It lives here so that the ledger imports nothing from above. */
export interface FencedAccount {
  readonly merchantId: bigint;
  readonly accountId: bigint;
}

/** The accounts of one try of a commit group, fenced. Exactly one of the three ends it. */
export interface FencedGroup {
  /**
   * Whether every account is fenced for certain. COMMIT may go on without (invalidate-before-answering still holds), but then a
   * reader that invalidates nothing may see the new version while the cache serves the old one, until it is invalidated.
   */
  readonly confirmed: boolean;
  /**
   * After COMMIT, before the acknowledgement: the new balances of all accounts that changed; the others are unfenced. Behind a
   * fence that was not confirmed nothing is installed: the fence may arrive later, and what is older is only invalidated.
   * Never rejects. With CACHE_WRITE_POLICY=available it resolves within the Redis deadline; with `strict` it may take
   * until every entry that could be served has expired (BALANCE_TTL_MS).
   */
  publish(values: readonly (FencedAccount & { balance: Balance })[]): Promise<void>;
  /** After a definite ROLLBACK, or when the token's row went in without the group. Never rejects. */
  abandon(): Promise<void>;
  /** After an ambiguous COMMIT that could not be settled: the tokens stay until a sweep. */
  leave(): void;
}

export interface BalanceFences {
  /**
   * Before COMMIT is sent; may overlap with the work in PostgreSQL. `token` is the one that the group's transaction inserts
   * into write_fences, new for every try. `accounts` holds at least those whose balances the group changes. Never rejects,
   * and resolves within `deadlineMs` or the Redis deadline, whichever is shorter. All that is asked of Redis for the group shows in the
   * trace below `span`.
   */
  fence(accounts: readonly FencedAccount[], token: bigint, deadlineMs: number, span?: Span): Promise<FencedGroup>;
  /**
   * Invalidate before answering: before an answer that was learnt from PostgreSQL (the replay of a key, say) is given to anybody.
   * Never rejects. Resolves as `publish` does.
   */
  invalidate(versions: readonly (FencedAccount & { version: bigint })[], span?: Span): Promise<void>;
}

/** Injection token: the balance cache’s fences, or `NO_FENCES`. */
export const BALANCE_FENCES = Symbol('BalanceFences');

const NOT_FENCED: FencedGroup = {
  confirmed: true,
  publish: () => Promise.resolve(),
  abandon: () => Promise.resolve(),
  leave: () => undefined,
};

/** Without a cache there is nothing to fence. */
export const NO_FENCES: BalanceFences = {
  fence: () => Promise.resolve(NOT_FENCED),
  invalidate: () => Promise.resolve(),
};
