import { snowflakeTimeMs } from '#kernel/snowflake.js';
import type { MerchantLog, NewEvent } from '#outbox/log/append.js';
import { int2Array, int8Array, textArray } from '#platform/binary-array.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database, TransactionClient } from '#platform/postgres.js';
import type { Side } from './account.js';
import { toSide } from './balance-store.js';

/** An account to be opened. `minAvailable` in minor units, null for no floor; `metadata` is JSON text. */
export interface NewAccount {
  id: bigint;
  code: string;
  name: string;
  currency: string;
  normalSide: Side;
  minAvailable: bigint | null;
  metadata?: string;
}

const INSERT_ACCOUNTS = `
WITH opened AS (
  INSERT INTO accounts (merchant_id, id, code, name, currency, normal_side, min_available, metadata, created_at)
  SELECT $1, id, code, name, currency, normal_side, min_available, coalesce(metadata, '{}')::json, snowflake_time(id)
    FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::smallint[], $7::bigint[], $8::text[])
      AS a (id, code, name, currency, normal_side, min_available, metadata)
)
INSERT INTO balances (merchant_id, account_id) SELECT $1, id FROM unnest($2::bigint[]) AS id`;

/**
 * Opens accounts with empty balances and tells it in the merchant's log, in its transaction. A code that is taken
 * raises 23505 on `accounts_merchant_id_code_key`.
 */
export async function insertAccounts(
  client: TransactionClient,
  log: MerchantLog,
  accounts: readonly NewAccount[],
  traceContext?: string,
): Promise<void> {
  await client.query({
    text: INSERT_ACCOUNTS,
    values: [
      log.merchantId,
      int8Array(accounts.map((account) => account.id)),
      textArray(accounts.map((account) => account.code)),
      textArray(accounts.map((account) => account.name)),
      textArray(accounts.map((account) => account.currency)),
      int2Array(accounts.map((account) => (account.normalSide === 'debit' ? 1 : -1))),
      int8Array(accounts.map((account) => account.minAvailable)),
      textArray(accounts.map((account) => account.metadata)),
    ],
  });
  await log.append(...accounts.map((account) => createdEvent(account, traceContext)));
}

function createdEvent(account: NewAccount, traceContext: string | undefined): NewEvent {
  const { id, code, name, currency, normalSide, minAvailable } = account;
  return {
    type: 'account.created',
    data: {
      account_id: String(id),
      code,
      name,
      currency,
      normal_side: normalSide,
      min_available: minAvailable === null ? null : String(minAvailable),
    },
    occurredAtMs: snowflakeTimeMs(id),
    traceContext,
  };
}

export interface AccountRecord {
  id: bigint;
  code: string;
  name: string;
  currency: string;
  normalSide: Side;
  minAvailable: bigint | null;
  closed: boolean;
  /** JSON text. */
  metadata: string;
  createdAtMs: number;
}

/** Of `a`, and of its balance `b`. */
export const ACCOUNT =
  'a.id, a.code, a.name, a.currency, a.normal_side, a.min_available, a.metadata, a.created_at, b.closed';
export const WITH_BALANCE = 'JOIN balances b ON b.merchant_id = a.merchant_id AND b.account_id = a.id';

export interface AccountRow {
  id: bigint;
  code: string;
  name: string;
  currency: string;
  normal_side: number;
  min_available: bigint | null;
  metadata: string;
  created_at: number;
  closed: boolean;
}

export async function getAccount(
  database: Database,
  merchantId: bigint,
  id: bigint,
  deadline: Deadline,
): Promise<AccountRecord | undefined> {
  const [row] = await database.read<AccountRow>({ merchantIds: [merchantId] }, deadline, {
    name: 'get-account',
    text: `SELECT ${ACCOUNT} FROM accounts a ${WITH_BALANCE} WHERE a.merchant_id = $1 AND a.id = $2`,
    values: [merchantId, id],
  });
  return row && toAccountRecord(row);
}

export function toAccountRecord(row: AccountRow): AccountRecord {
  return {
    id: row.id,
    code: row.code,
    name: row.name,
    currency: row.currency,
    normalSide: toSide(row.normal_side),
    minAvailable: row.min_available,
    closed: row.closed,
    metadata: row.metadata,
    createdAtMs: row.created_at,
  };
}
