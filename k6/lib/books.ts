import { all, get, type World } from './client.ts';
import type { Merchant } from './postings.ts';

/** All that the API says of a merchant. Without k6. */
export interface Books {
  /** Newest first. */
  readonly transactions: readonly Transaction[];
  readonly accounts: readonly AccountBook[];
  /** Oldest first, as a follower sees them. */
  readonly events: readonly LedgerEvent[];
}

export interface Transaction {
  readonly id: string;
  readonly type: string;
  readonly external_ref: string | null;
  readonly entries: readonly {
    readonly account_code: string;
    readonly direction: Side;
    readonly amount: string;
    readonly currency: string;
  }[];
}

export interface AccountBook {
  readonly id: string;
  readonly code: string;
  readonly min_available: string | null;
  /** From the database. */
  readonly balance: Balance;
  /** As whoever asks without saying how is answered. */
  readonly cached: Balance;
  /** Newest first. */
  readonly statement: readonly Line[];
}

export type Side = 'debit' | 'credit';

export interface Totals {
  readonly debits: string;
  readonly credits: string;
}

export interface Balance {
  readonly version: string;
  readonly currency: string;
  readonly posted: Totals;
  readonly pending: Totals;
  readonly source: string;
}

export interface Line {
  readonly transaction_id: string;
  readonly direction: Side;
  readonly amount: string;
  readonly effect: 'post' | 'capture' | 'hold' | 'release';
  readonly account_version: string;
  readonly available_after: string;
}

export interface LedgerEvent {
  readonly id: string;
  readonly type: string;
  readonly occurred_at: string;
  readonly data: {
    readonly transaction_id?: string;
    readonly entries?: readonly {
      readonly account_id: string;
      readonly account_version: string;
      readonly direction: Side;
      readonly posted: string;
      readonly pending: string;
    }[];
  };
}

/** The log tells an event a moment after its commit. */
const LOG_WITHIN_MS = 15_000;
const LOG_LOOK_MS = 250;

export async function readBooks(world: World, { key }: Merchant): Promise<Books> {
  const transactions = await all<Transaction>(world, key, '/v1/transactions?limit=1000&expand=entries');
  const accounts = await all<Omit<AccountBook, 'balance' | 'cached' | 'statement'>>(
    world,
    key,
    '/v1/accounts?limit=1000',
  );
  const books: AccountBook[] = [];
  for (const account of accounts) {
    const path = `/v1/accounts/${account.id}`;
    const balance = await get<Balance>(world, key, `${path}/balance?consistency=strong`);
    const cached = await get<Balance>(world, key, `${path}/balance`);
    // Of an account that nothing was posted on there is nothing to read.
    const statement = balance.version === '0' ? [] : await all<Line>(world, key, `${path}/entries?limit=1000`);
    books.push({ ...account, balance, cached, statement });
  }
  return { transactions, accounts: books, events: await readLog(world, key, transactions.length) };
}

/** Until so many transactions are told of, or it is certain that they are not. */
async function readLog(world: World, key: string, count: number): Promise<LedgerEvent[]> {
  for (let waitedMs = 0; ; waitedMs += LOG_LOOK_MS) {
    const events = await all<LedgerEvent>(world, key, '/v1/events?limit=1000', 'after');
    if (events.filter(({ data }) => data.entries).length >= count || waitedMs >= LOG_WITHIN_MS) return events;
    await world.pause(LOG_LOOK_MS);
  }
}
