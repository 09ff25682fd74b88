import type { Account } from './account.js';
import type { NewAccount } from './account-store.js';

/** The accounts that every merchant has in each of its currencies, coded `<name>:<CURRENCY>`. They never close. */
const SYSTEM_ACCOUNTS = new Map([
  ['provider_receivable', { title: 'Owed by payment processors', normalSide: 'debit' }],
  ['merchant_payable', { title: 'Owed to the merchant', normalSide: 'credit' }],
  ['fee_revenue', { title: 'Fees earned', normalSide: 'credit' }],
  ['payout_clearing', { title: 'Payouts under way', normalSide: 'credit' }],
  ['dispute_reserve', { title: 'Held for disputes', normalSide: 'credit' }],
  ['cash', { title: 'Cash at bank', normalSide: 'debit' }],
  ['suspense', { title: 'Not yet explained', normalSide: 'credit' }],
  ['provider_fees', { title: 'Charged by payment processors', normalSide: 'debit' }],
] as const);

export type SystemName = typeof SYSTEM_ACCOUNTS extends Map<infer Name, unknown> ? Name : never;

export function systemAccounts(currencies: readonly string[], nextId: () => bigint): NewAccount[] {
  return currencies.flatMap((currency) =>
    [...SYSTEM_ACCOUNTS.keys()].map((name) => systemAccount(name, currency, nextId())),
  );
}

export function systemAccount(name: SystemName, currency: string, id: bigint): NewAccount {
  const system = SYSTEM_ACCOUNTS.get(name);
  if (!system) throw new Error(`there are no system accounts ${name}`);
  const { title, normalSide } = system;
  return {
    id,
    code: systemCode(name, currency),
    name: `${title} (${currency})`,
    currency,
    normalSide,
    minAvailable: null,
  };
}

export function systemCode(name: SystemName, currency: string): string {
  return `${name}:${currency}`;
}

/** For SQL: rows (name, side). */
export const SYSTEM_ACCOUNT_VALUES = [...SYSTEM_ACCOUNTS]
  .map(([name, { normalSide }]) => `('${name}', ${normalSide === 'debit' ? 1 : -1})`)
  .join(', ');

/**
 * Whether no client may open an account of this code: all that is `<system name>:…`, in whatever currency and on whatever side.
 * Only the platform opens those; one of a merchant's own could have a floor or the wrong side, and money would stop at it.
 */
export function isReservedCode(code: string): boolean {
  const colon = code.indexOf(':');
  return colon > 0 && SYSTEM_ACCOUNTS.has(code.slice(0, colon) as SystemName);
}

/** By its facts, not by its code alone: before codes were reserved a merchant could open `cash:EUR` in dollars, and may close it. */
export function isSystemAccount({ code, currency, normalSide }: Account): boolean {
  const [name, suffix] = code.split(':');
  const system = SYSTEM_ACCOUNTS.get(name as SystemName);
  return system?.normalSide === normalSide && code === `${name}:${suffix}` && suffix === currency;
}
