import { invalid } from '#kernel/problem.js';
import { textArray } from '#platform/binary-array.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database, TransactionClient } from '#platform/postgres.js';

/** Those whose reports name the account that a row is of. */
const NAMING = ['adyen'];

interface OfMerchant {
  readonly merchantId: bigint;
  readonly provider: string;
}

/** Throws `validation_failed`. */
export function checkAccounts(provider: string, accounts: readonly string[] | null | undefined): void {
  if (accounts && !NAMING.includes(provider)) {
    throw invalid('accounts', `would be held against nothing: reports of ${provider} name no account`);
  }
}

/** For the caller's transaction. Null: rows of any account are taken. */
export async function setAccounts(
  client: TransactionClient,
  { merchantId, provider }: OfMerchant,
  accounts: readonly string[] | null,
): Promise<void> {
  await client.query(
    accounts
      ? {
          text: `INSERT INTO provider_accounts (merchant_id, provider, accounts, changed_at) VALUES ($1, $2, $3, now())
                 ON CONFLICT (merchant_id, provider) DO UPDATE SET accounts = excluded.accounts, changed_at = now()`,
          values: [merchantId, provider, textArray(accounts)],
        }
      : {
          text: 'DELETE FROM provider_accounts WHERE merchant_id = $1 AND provider = $2',
          values: [merchantId, provider],
        },
  );
}

const ACCOUNTS = 'SELECT provider, to_json(accounts)::text AS accounts FROM provider_accounts WHERE merchant_id = $1';

interface AccountsRow extends Record<string, unknown> {
  provider: string;
  accounts: string;
}

/** By provider; one that is not there has none. */
export async function accountsByProvider(
  client: TransactionClient,
  merchantId: bigint,
): Promise<Map<string, readonly string[]>> {
  const { rows } = await client.query<AccountsRow>({ text: ACCOUNTS, values: [merchantId] });
  return new Map(rows.map(({ provider, accounts }) => [provider, JSON.parse(accounts) as string[]]));
}

/** Undefined: rows of any account are the merchant's. */
export async function findAccounts(
  database: Database,
  { merchantId, provider }: OfMerchant,
  deadline: Deadline,
): Promise<ReadonlySet<string> | undefined> {
  const query = {
    name: 'find-provider-accounts',
    text: `${ACCOUNTS} AND provider = $2`,
    values: [merchantId, provider],
  };
  const [row] = await database.read<AccountsRow>({ merchantIds: [merchantId] }, deadline, query);
  return row && new Set(JSON.parse(row.accounts) as string[]);
}
