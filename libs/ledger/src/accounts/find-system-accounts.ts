import { Injectable } from '@nestjs/common';
import { ProblemError } from '#kernel/problem.js';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import type { Deadline } from '#platform/deadline.js';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import type { Account } from './account.js';
import { AccountDirectory } from './account-directory.js';
import { openMissingSystemAccounts } from './flawed-system-accounts.js';
import { isSystemAccount, type SystemName, systemCode } from './system-accounts.js';

/** A merchant's system accounts, for whoever posts to them on its behalf. */
@Injectable()
export class SystemAccounts {
  constructor(
    readonly database: Database,
    readonly ids: SnowflakeGenerator,
    private readonly directory: AccountDirectory,
  ) {}

  /** Asks once for what many merchants have, so that `find` need not ask for each. */
  async prepare(
    wanted: readonly { merchantId: bigint; currency: string }[],
    names: readonly SystemName[],
    deadline: Deadline,
  ): Promise<void> {
    const codes = wanted.flatMap(({ merchantId, currency }) =>
      names.map((name) => ({ merchantId, code: systemCode(name, currency) })),
    );
    await this.directory.prepare(codes, deadline);
  }

  /**
   * In the order of the names; undefined: it is none of the merchant's currencies. What the merchant does not have yet, as no worker
   * has come by since the name is one, is opened. Throws `invalid_transition` where an account of the merchant's own has the code.
   */
  async find(
    context: RequestContext,
    currency: string,
    names: readonly SystemName[],
  ): Promise<readonly Account[] | undefined> {
    const codes = names.map((name) => ({ code: systemCode(name, currency) }));
    let found = await this.directory.find(context.merchantId, codes, context.deadline);
    if (found.includes(undefined)) {
      await openMissingSystemAccounts(this, context.merchantId, context.deadline);
      found = await this.directory.find(context.merchantId, codes, context.deadline);
    }
    const accounts = found.filter((account) => account !== undefined);
    if (accounts.length < names.length) return undefined;
    const own = accounts.find((account) => !isSystemAccount(account));
    if (own) throw new ProblemError('invalid_transition', `Account ${own.code} is the merchant's own.`);
    return accounts;
  }
}
