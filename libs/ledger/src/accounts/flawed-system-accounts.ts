import type { SnowflakeGenerator } from '#kernel/snowflake.js';
import { MerchantLog } from '#outbox/log/append.js';
import { int8Array } from '#platform/binary-array.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database, TransactionClient } from '#platform/postgres.js';
import { insertAccounts } from './account-store.js';
import { SYSTEM_ACCOUNT_VALUES, type SystemName, systemAccount, systemCode } from './system-accounts.js';

/**
 * System accounts that are not there, or not as they should be: of merchants that were opened before the name was one, by a process
 * of the version before perhaps while this one runs. A merchant could open an account of that code itself until then, and close it: one in
 * the right currency and on the right side is the system account from now on.
 */
export interface FlawedSystemAccount {
  merchantId: bigint;
  name: SystemName;
  currency: string;
  /** Undefined: there is none. */
  accountId: bigint | undefined;
  /** Its currency and side are the system account's. */
  fits: boolean;
  closed: boolean;
}

/**
 * `m` merchants, by their ids. All of a currency are opened together: the one of cash stands for that. Look-ups are LATERAL with a LIMIT,
 * so that each is one of the code index.
 */
export function flawedSystemAccounts(ofMerchants: string): string {
  return `
SELECT m.id AS merchant_id, s.name, c.currency, a.id AS account_id,
       coalesce(a.currency = c.currency AND a.normal_side = s.side, false) AS fits, coalesce(b.closed, false) AS closed
  FROM merchants m CROSS JOIN unnest(m.currencies) AS c (currency)
 CROSS JOIN LATERAL (SELECT FROM accounts WHERE merchant_id = m.id AND code = 'cash:' || c.currency LIMIT 1) opened
 CROSS JOIN (VALUES ${SYSTEM_ACCOUNT_VALUES}) AS s (name, side)
  LEFT JOIN LATERAL (SELECT id, currency, normal_side FROM accounts
                      WHERE merchant_id = m.id AND code = s.name || ':' || c.currency LIMIT 1) a ON true
  LEFT JOIN LATERAL (SELECT closed FROM balances WHERE merchant_id = m.id AND account_id = a.id LIMIT 1) b ON true
 WHERE m.id = ${ofMerchants}
   AND (a.id IS NULL OR a.currency <> c.currency OR a.normal_side <> s.side OR coalesce(b.closed, true))`;
}

const FIND = { name: 'flawed-system-accounts', text: flawedSystemAccounts('ANY ($1::bigint[])') };

interface FlawRow {
  merchant_id: bigint;
  name: SystemName;
  currency: string;
  account_id: bigint | null;
  fits: boolean;
  closed: boolean;
}

export async function findFlawedSystemAccounts(
  database: Database,
  merchantIds: readonly bigint[],
  deadline: Deadline,
): Promise<FlawedSystemAccount[]> {
  const rows = await database.read<FlawRow & Record<string, unknown>>({ merchantIds }, deadline, {
    ...FIND,
    values: [int8Array(merchantIds)],
  });
  return rows.map(toFlaw);
}

/** One transaction, behind the merchant's lock: whoever opens accounts of the merchant meanwhile has done so before it looks. */
export async function openMissingSystemAccounts(
  { database, ids }: { database: Database; ids: SnowflakeGenerator },
  merchantId: bigint,
  deadline: Deadline,
): Promise<void> {
  await database.transaction({ merchantIds: [merchantId] }, deadline, async (client) => {
    const log = await MerchantLog.lock(client, merchantId);
    const missing = (await flawsOf(client, merchantId)).filter(({ accountId }) => accountId === undefined);
    const accounts = missing.map(({ name, currency }) => systemAccount(name, currency, ids.next()));
    if (accounts.length > 0) await insertAccounts(client, log, accounts);
  });
}

async function flawsOf(client: TransactionClient, merchantId: bigint): Promise<FlawedSystemAccount[]> {
  const { rows } = await client.query<FlawRow & Record<string, unknown>>({
    ...FIND,
    values: [int8Array([merchantId])],
  });
  return rows.map(toFlaw);
}

function toFlaw({ merchant_id, name, currency, account_id, fits, closed }: FlawRow): FlawedSystemAccount {
  return { merchantId: merchant_id, name, currency, accountId: account_id ?? undefined, fits, closed };
}

export function codeOf({ name, currency }: FlawedSystemAccount): string {
  return systemCode(name, currency);
}
