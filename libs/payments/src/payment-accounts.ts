import { Injectable } from '@nestjs/common';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import type { Account } from '#ledger/accounts/account.js';
import { AccountDirectory } from '#ledger/accounts/account-directory.js';
import { openSystemAccounts } from '#ledger/accounts/open-system-accounts.js';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import { PAYMENT_ACCOUNTS, type PaymentAccount } from './accounts.js';
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

/** Finds a merchant's system accounts by name and currency. */
@Injectable()
export class PaymentAccounts {
  constructor(
    private readonly directory: AccountDirectory,
    private readonly database: Database,
    private readonly ids: SnowflakeGenerator,
  ) {}

  /** Of a currency in which the merchant has some, those that it lacks are opened. */
  async named(context: RequestContext, wanted: ReadonlyMap<string, readonly PaymentAccount[]>): Promise<NamedAccounts> {
    const found = await Promise.all(
      [...wanted].map(async ([currency, names]) => ({
        currency,
        accounts: await this.#find(context, currency, names),
      })),
    );
    const accounts = found.flatMap((one) => one.accounts ?? []);
    return {
      accounts: new Map(accounts.map((account) => [account.id, account])),
      idOf: new Map(accounts.map((account) => [account.code, account.id])),
      lacking: new Set(found.filter((one) => one.accounts === undefined).map((one) => one.currency)),
    };
  }

  async #find(
    context: RequestContext,
    currency: string,
    names: readonly PaymentAccount[],
  ): Promise<Account[] | undefined> {
    const refs = names.map((name) => ({ code: `${name}:${currency}` }));
    const found = await this.directory.find(context.merchantId, refs, context.deadline);
    const accounts = found.filter((account) => account !== undefined);
    if (accounts.length === found.length) return accounts;
    // One that every merchant of the currency has had from the first release on.
    const [first] = PAYMENT_ACCOUNTS.map((name) => ({ code: `${name}:${currency}` }));
    const [receivable] = await this.directory.find(context.merchantId, first ? [first] : [], context.deadline);
    if (!receivable) return undefined;
    await openSystemAccounts({ database: this.database, ids: this.ids }, context, currency);
    return this.#find(context, currency, names);
  }
}
