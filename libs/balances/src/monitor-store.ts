import type { Totals } from '#ledger/accounts/account.js';
import { int8Array } from '#platform/binary-array.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import { type AccountKey, cacheKey } from './cached-balance.js';

/** Merchants of one sample; each gives its share of the accounts. */
const MERCHANTS = 20;
/** Events of the merchant that are looked through for those of one account. */
const EVENTS_LOOKED_AT = 500;
const EVENTS_TOLD = 5;

/** $1 how many. From a random point of the ids on; fewer when the point lies near the end. No lock. */
const SAMPLE_MERCHANTS = {
  name: 'sample-merchants',
  text: `SELECT id FROM merchants
  WHERE id >= (SELECT min(id) + (random() * (max(id) - min(id)))::bigint FROM merchants)
  ORDER BY id LIMIT $1`,
};

/** $1 merchants, $2 accounts of each, from a random point of their ids on. No lock. */
const SAMPLE_ACCOUNTS = {
  name: 'sample-accounts',
  text: `SELECT b.merchant_id, b.account_id FROM unnest($1::bigint[]) AS m (id)
  CROSS JOIN LATERAL (SELECT min(account_id) AS first, max(account_id) AS last FROM balances WHERE merchant_id = m.id) AS r
  CROSS JOIN LATERAL (SELECT r.first + (random() * (r.last - r.first))::bigint AS point) AS p
  CROSS JOIN LATERAL (
    SELECT merchant_id, account_id FROM balances WHERE merchant_id = m.id AND account_id >= p.point
     ORDER BY account_id LIMIT $2) AS b`,
};

/** $1 merchant, $2 account, $3 events looked at, $4 events told. By the primary key, backwards. No lock. */
const LAST_EVENTS = {
  name: 'last-events-of-account',
  text: `SELECT e.type, e.occurred_at, e.trace_context, entry ->> 'account_version' AS account_version
  FROM (SELECT xid, seq, type, occurred_at, trace_context, data FROM events WHERE merchant_id = $1
         ORDER BY xid DESC, seq DESC LIMIT $3) AS e
  CROSS JOIN LATERAL json_array_elements(e.data -> 'entries') AS entry
  WHERE entry ->> 'account_id' = $2::text ORDER BY e.xid DESC, e.seq DESC LIMIT $4`,
};

/**
 * $1 merchants, $2 accounts. A statement and a mapping of their own, on purpose: whoever judged the cache with what fills it
 * (load-balances.ts) would find right whatever that one gets wrong. No lock.
 */
const LEDGER_BALANCES = {
  name: 'ledger-balances',
  text: `SELECT k.merchant_id, k.account_id, b.version, b.pd, b.pc, b.hd, b.hc
  FROM unnest($1::bigint[], $2::bigint[]) AS k (merchant_id, account_id)
  CROSS JOIN LATERAL (
    SELECT version, posted_debits AS pd, posted_credits AS pc, pending_debits AS hd, pending_credits AS hc
      FROM balances WHERE merchant_id = k.merchant_id AND account_id = k.account_id LIMIT 1) AS b`,
};

export interface LedgerBalance extends Totals {
  readonly version: bigint;
}

interface LedgerBalanceRow
  extends Record<'pd' | 'pc' | 'hd' | 'hc' | 'version' | 'merchant_id' | 'account_id', bigint> {}

/** What the ledger says now, by `cacheKey`; an account that does not exist is absent. */
export async function ledgerBalances(
  database: Database,
  accounts: readonly AccountKey[],
  deadline: Deadline,
): Promise<Map<string, LedgerBalance>> {
  const merchantIds = [...new Set(accounts.map(({ merchantId }) => merchantId))];
  const rows = await database.read<LedgerBalanceRow>({ merchantIds }, deadline, {
    ...LEDGER_BALANCES,
    values: [
      int8Array(accounts.map(({ merchantId }) => merchantId)),
      int8Array(accounts.map(({ accountId }) => accountId)),
    ],
  });
  return new Map(
    rows.map(({ merchant_id: merchantId, account_id: accountId, version, pd, pc, hd, hc }) => [
      cacheKey({ merchantId, accountId }),
      { version, postedDebits: pd, postedCredits: pc, pendingDebits: hd, pendingCredits: hc },
    ]),
  );
}

export interface AccountEvent {
  readonly type: string;
  readonly account_version: string;
  /** Milliseconds since 1970. */
  readonly occurred_at: number;
  readonly trace_context: string | null;
}

/** About `count` accounts of the ledger, of merchants that lie together by age. */
export async function sampleAccounts(database: Database, count: number, deadline: Deadline): Promise<AccountKey[]> {
  const merchants = await database.read<{ id: bigint }>('platform', deadline, {
    ...SAMPLE_MERCHANTS,
    values: [MERCHANTS],
  });
  if (merchants.length === 0) return [];
  const merchantIds = merchants.map(({ id }) => id);
  const rows = await database.read<{ merchant_id: bigint; account_id: bigint }>({ merchantIds }, deadline, {
    ...SAMPLE_ACCOUNTS,
    values: [int8Array(merchantIds), Math.ceil(count / merchants.length)],
  });
  return rows.map((row) => ({ merchantId: row.merchant_id, accountId: row.account_id }));
}

/** Newest first; those among the merchant's latest, so that a quiet account of a busy merchant may have none. */
export function lastEventsOf(
  database: Database,
  { merchantId, accountId }: AccountKey,
  deadline: Deadline,
): Promise<AccountEvent[]> {
  return database.read<AccountEvent & Record<string, unknown>>({ merchantIds: [merchantId] }, deadline, {
    ...LAST_EVENTS,
    values: [merchantId, String(accountId), EVENTS_LOOKED_AT, EVENTS_TOLD],
  });
}

/** $1 merchant, $2 the last that was looked at, $3 so many. No lock. */
const ACCOUNTS_AFTER = {
  name: 'accounts-after',
  text: 'SELECT account_id FROM balances WHERE merchant_id = $1 AND account_id > $2 ORDER BY account_id LIMIT $3',
};

/** All of a merchant's accounts, page by page. */
export async function* accountsOf(
  database: Database,
  merchantId: bigint,
  page: number,
  deadline: Deadline,
): AsyncGenerator<AccountKey[]> {
  for (let last = 0n, rows = page; rows === page; ) {
    const values = [merchantId, last, page];
    const found = await database.read<{ account_id: bigint }>({ merchantIds: [merchantId] }, deadline, {
      ...ACCOUNTS_AFTER,
      values,
    });
    if (found.length > 0) yield found.map(({ account_id: accountId }) => ({ merchantId, accountId }));
    last = found.at(-1)?.account_id ?? last;
    rows = found.length;
  }
}
