import type { Account } from '#ledger/accounts/account.js';
import type { SystemAccounts } from '#ledger/accounts/find-system-accounts.js';
import type { RequestContext } from '#platform/request-context.js';
import type { PaymentAccount } from './accounts.js';
import type { FactType } from './facts.js';

/** The accounts that a submission names. */
export interface NamedAccounts {
  readonly accounts: ReadonlyMap<bigint, Account>;
  readonly idOf: ReadonlyMap<string, bigint>;
  /** Currencies in which the merchant has no accounts. */
  readonly lacking: ReadonlySet<string>;
}

const USUAL: readonly PaymentAccount[] = ['provider_receivable', 'merchant_payable'];
const OF_DISPUTES: readonly PaymentAccount[] = [...USUAL, 'dispute_reserve'];
const OF_SETTLEMENTS: readonly PaymentAccount[] = ['provider_receivable', 'provider_fees', 'cash'];

/** What a fact moves money on, if it frees no others. */
export function accountsOf(type: FactType): readonly PaymentAccount[] {
  if (type === 'settled') return OF_SETTLEMENTS;
  return type.startsWith('dispute_') ? OF_DISPUTES : USUAL;
}

/** Of each currency the accounts of these names. Throws `invalid_transition` where one of the merchant's own has the code. */
export async function nameAccounts(
  system: SystemAccounts,
  context: RequestContext,
  wanted: ReadonlyMap<string, readonly PaymentAccount[]>,
): Promise<NamedAccounts> {
  const found = await Promise.all(
    [...wanted].map(async ([currency, names]) => ({ currency, accounts: await system.find(context, currency, names) })),
  );
  const accounts = found.flatMap((one) => one.accounts ?? []);
  return {
    accounts: new Map(accounts.map((account) => [account.id, account])),
    idOf: new Map(accounts.map((account) => [account.code, account.id])),
    lacking: new Set(found.filter((one) => one.accounts === undefined).map((one) => one.currency)),
  };
}
