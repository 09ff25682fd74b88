import { snowflakeTimeMs } from '#kernel/snowflake.js';
import type { MerchantLog, NewEvent } from '#outbox/append.js';
import { int2Array, int8Array, textArray } from '#platform/binary-array.js';
import type { TransactionClient } from '#platform/postgres.js';
import type { Side } from './account.js';

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
