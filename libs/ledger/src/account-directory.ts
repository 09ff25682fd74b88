import { LRUCache } from 'lru-cache';
import { int8Array, textArray } from '#platform/binary-array.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import type { Account } from './account.js';

/** How a request names an account. */
export type AccountRef = { id: bigint } | { code: string };

/** About 300 bytes an account. */
const CACHED_ACCOUNTS = 100_000;

const FIND_ACCOUNTS = `
SELECT id, code, currency, normal_side, min_available FROM accounts WHERE merchant_id = $1 AND id = ANY ($2::bigint[])
UNION
SELECT id, code, currency, normal_side, min_available FROM accounts WHERE merchant_id = $1 AND code = ANY ($3::text[])`;

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

  constructor(database: Database) {
    this.#database = database;
  }

  /** In the order of the references; undefined where the merchant has no such account. */
  async find(merchantId: bigint, refs: readonly AccountRef[], deadline: Deadline): Promise<(Account | undefined)[]> {
    const found = refs.map((ref) => this.#cached(merchantId, ref));
    const missing = refs.filter((_ref, index) => found[index] === undefined);
    if (missing.length === 0) return found;
    const ids = missing.flatMap((ref) => ('id' in ref ? [ref.id] : []));
    const codes = missing.flatMap((ref) => ('code' in ref ? [ref.code] : []));
    const rows = await this.#database.read<AccountRow>({ merchantIds: [merchantId] }, deadline, {
      name: 'find-accounts',
      text: FIND_ACCOUNTS,
      values: [merchantId, int8Array(ids), textArray(codes)],
    });
    for (const row of rows) this.#remember(merchantId, toAccount(row));
    return refs.map((ref, index) => found[index] ?? this.#cached(merchantId, ref));
  }

  #cached(merchantId: bigint, ref: AccountRef): Account | undefined {
    return 'id' in ref ? this.#byId.get(`${merchantId}:${ref.id}`) : this.#byCode.get(`${merchantId}:${ref.code}`);
  }

  #remember(merchantId: bigint, account: Account): void {
    this.#byId.set(`${merchantId}:${account.id}`, account);
    this.#byCode.set(`${merchantId}:${account.code}`, account);
  }
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
