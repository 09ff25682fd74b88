import type { NewAccount } from '#ledger/account-store.js';

/** The accounts that every merchant has in each of its currencies, coded `<name>:<CURRENCY>`. */
const SYSTEM_ACCOUNTS = [
  { code: 'provider_receivable', name: 'Owed by payment processors', normalSide: 'debit' },
  { code: 'merchant_payable', name: 'Owed to the merchant', normalSide: 'credit' },
  { code: 'fee_revenue', name: 'Fees earned', normalSide: 'credit' },
  { code: 'payout_clearing', name: 'Payouts under way', normalSide: 'credit' },
  { code: 'dispute_reserve', name: 'Held for disputes', normalSide: 'credit' },
  { code: 'cash', name: 'Cash at bank', normalSide: 'debit' },
  { code: 'suspense', name: 'Not yet explained', normalSide: 'credit' },
] as const;

export function systemAccounts(currencies: readonly string[], nextId: () => bigint): NewAccount[] {
  return currencies.flatMap((currency) =>
    SYSTEM_ACCOUNTS.map(({ code, name, normalSide }) => ({
      id: nextId(),
      code: `${code}:${currency}`,
      name: `${name} (${currency})`,
      currency,
      normalSide,
      minAvailable: null,
    })),
  );
}
