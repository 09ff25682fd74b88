import { LRUCache } from 'lru-cache';
import { int8Array, textArray } from '#platform/binary-array.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import type { EntryRequest, Post, PostRequest } from '../posting/command.js';
import type { Transaction } from '../posting/transaction.js';
import type { Account, AccountRef } from './account.js';

/** About 300 bytes an account. */
const CACHED_ACCOUNTS = 100_000;

const FIND_ACCOUNTS = `
SELECT id, code, currency, normal_side, min_available FROM accounts WHERE merchant_id = $1 AND id = ANY ($2::bigint[])
UNION
SELECT id, code, currency, normal_side, min_available FROM accounts WHERE merchant_id = $1 AND code = ANY ($3::text[])`;

/** $1 merchants, $2 codes. One by one by their keys. */
const FIND_ACCOUNTS_OF_MANY = `
SELECT a.* FROM unnest($1::bigint[], $2::text[]) AS k (merchant_id, code)
  CROSS JOIN LATERAL (SELECT merchant_id, id, code, currency, normal_side, min_available
                        FROM accounts WHERE merchant_id = k.merchant_id AND code = k.code LIMIT 1) a`;

interface AccountRow {
  id: bigint;
  code: string;
  currency: string;
  normal_side: number;
  min_available: bigint | null;
}

/** Accounts by id and code. Caching is safe without invalidation: what it holds of an account never changes. */
export class AccountDirectory {
  readonly #database: Database;
  readonly #byId = new LRUCache<string, Account>({ max: CACHED_ACCOUNTS });
  readonly #byCode = new LRUCache<string, Account>({ max: CACHED_ACCOUNTS });
  readonly #underWay = new Map<string, Promise<void>>();

  constructor(database: Database) {
    this.#database = database;
  }

  /** In the order of the references; undefined where the merchant has no such account. */
  async find(merchantId: bigint, refs: readonly AccountRef[], deadline: Deadline): Promise<(Account | undefined)[]> {
    let found = refs.map((ref) => this.#cached(merchantId, ref));
    let missing = refs.filter((_ref, index) => found[index] === undefined);
    if (missing.length === 0) return found;
    // Single flight: a process that has just begun would otherwise ask once for each request of its hottest account. What is
    // still absent may have been opened after the other one looked, so that everybody looks for it himself.
    const joined = this.#underWay.get(nameOf(merchantId, missing));
    if (joined) {
      await deadline.race(joined.catch(() => undefined));
      found = refs.map((ref) => this.#cached(merchantId, ref));
      missing = refs.filter((_ref, index) => found[index] === undefined);
      if (missing.length === 0) return found;
    }
    const name = nameOf(merchantId, missing);
    const lookUp = this.#lookUp(merchantId, missing, deadline).finally(() => {
      if (this.#underWay.get(name) === lookUp) this.#underWay.delete(name);
    });
    this.#underWay.set(name, lookUp);
    await lookUp;
    return refs.map((ref, index) => found[index] ?? this.#cached(merchantId, ref));
  }

  /** Asks once for accounts of many merchants, so that `find` need not ask for each. What does not exist is left to it. */
  async prepare(wanted: readonly { merchantId: bigint; code: string }[], deadline: Deadline): Promise<void> {
    const missing = wanted.filter(({ merchantId, code }) => !this.#cached(merchantId, { code }));
    if (missing.length === 0) return;
    const merchantIds = [...new Set(missing.map(({ merchantId }) => merchantId))];
    const rows = await this.#database.read<AccountRow & { merchant_id: bigint }>({ merchantIds }, deadline, {
      name: 'find-accounts-of-many',
      text: FIND_ACCOUNTS_OF_MANY,
      values: [int8Array(missing.map(({ merchantId }) => merchantId)), textArray(missing.map(({ code }) => code))],
    });
    for (const row of rows) this.#remember(row.merchant_id, toAccount(row));
  }

  /** Accounts that do not exist stay out of `accounts`; `decide` refuses their commands, each for itself. */
  async resolve(
    context: RequestContext,
    requests: readonly PostRequest[],
  ): Promise<{ commands: Post[]; accounts: Map<bigint, Account> }> {
    const refs = requests.flatMap((request) => request.entries.map((entry) => entry.account));
    const found = await this.find(context.merchantId, refs, context.deadline);
    const accounts = new Map<bigint, Account>();
    for (const account of found) if (account) accounts.set(account.id, account);
    let next = 0;
    const commands = requests.map((request): Post => {
      const entries = request.entries.map(({ account, ...entry }): EntryRequest => {
        const accountId = found[next++]?.id ?? ('id' in account ? account.id : 0n);
        return { accountId, ...entry };
      });
      return { ...request, kind: 'post', entries };
    });
    return { commands, accounts };
  }

  async ofTransactions(context: RequestContext, transactions: readonly Transaction[]): Promise<Map<bigint, Account>> {
    const ids = new Set(transactions.flatMap((transaction) => transaction.entries.map((entry) => entry.accountId)));
    const found = await this.find(
      context.merchantId,
      [...ids].map((id) => ({ id })),
      context.deadline,
    );
    return new Map(found.flatMap((account) => (account ? [[account.id, account] as const] : [])));
  }

  async #lookUp(merchantId: bigint, missing: readonly AccountRef[], deadline: Deadline): Promise<void> {
    const ids = missing.flatMap((ref) => ('id' in ref ? [ref.id] : []));
    const codes = missing.flatMap((ref) => ('code' in ref ? [ref.code] : []));
    const rows = await this.#database.read<AccountRow>({ merchantIds: [merchantId] }, deadline, {
      name: 'find-accounts',
      text: FIND_ACCOUNTS,
      values: [merchantId, int8Array(ids), textArray(codes)],
    });
    for (const row of rows) this.#remember(merchantId, toAccount(row));
  }

  #cached(merchantId: bigint, ref: AccountRef): Account | undefined {
    return 'id' in ref ? this.#byId.get(`${merchantId}:${ref.id}`) : this.#byCode.get(`${merchantId}:${ref.code}`);
  }

  #remember(merchantId: bigint, account: Account): void {
    this.#byId.set(`${merchantId}:${account.id}`, account);
    this.#byCode.set(`${merchantId}:${account.code}`, account);
  }
}

function nameOf(merchantId: bigint, refs: readonly AccountRef[]): string {
  return `${merchantId} ${refs.map((ref) => ('id' in ref ? ref.id : ref.code)).join(' ')}`;
}

function toAccount(row: AccountRow): Account {
  return {
    id: row.id,
    code: row.code,
    currency: row.currency,
    normalSide: row.normal_side === 1 ? 'debit' : 'credit',
    minAvailable: row.min_available,
  };
}
