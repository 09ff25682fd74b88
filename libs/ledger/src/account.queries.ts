import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { invalid, notFound } from '#kernel/problem.js';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import type { Side } from './account.js';
import { AccountDirectory } from './account-directory.js';
import {
  type AccountRecord,
  type BalanceRecord,
  getAccount,
  getBalance,
  getBalanceAt,
  listAccounts,
  listStatementLines,
  type StatementLine,
} from './balance-store.js';

export class GetAccountQuery extends Query<AccountRecord> {
  constructor(
    readonly context: RequestContext,
    readonly accountId: bigint,
  ) {
    super();
  }
}

@QueryHandler(GetAccountQuery)
export class GetAccountHandler implements IQueryHandler<GetAccountQuery> {
  constructor(private readonly database: Database) {}

  async execute({ context, accountId }: GetAccountQuery): Promise<AccountRecord> {
    const account = await getAccount(this.database, context.merchantId, accountId, context.deadline);
    if (!account) throw notFound('account');
    return account;
  }
}

export class ListAccountsQuery extends Query<AccountRecord[]> {
  constructor(
    readonly context: RequestContext,
    readonly page: Parameters<typeof listAccounts>[2],
  ) {
    super();
  }
}

@QueryHandler(ListAccountsQuery)
export class ListAccountsHandler implements IQueryHandler<ListAccountsQuery> {
  constructor(private readonly database: Database) {}

  execute({ context, page }: ListAccountsQuery): Promise<AccountRecord[]> {
    return listAccounts(this.database, context.merchantId, page, context.deadline);
  }
}

/** The balance now, or by effective time at `atMs`. Throws `not_found`, or `validation_failed` for a version not there yet. */
export class GetBalanceQuery extends Query<BalanceRecord> {
  constructor(
    readonly context: RequestContext,
    readonly accountId: bigint,
    readonly options: { atMs?: number; minVersion?: bigint },
  ) {
    super();
  }
}

@QueryHandler(GetBalanceQuery)
export class GetBalanceHandler implements IQueryHandler<GetBalanceQuery> {
  constructor(private readonly database: Database) {}

  async execute({ context, accountId, options }: GetBalanceQuery): Promise<BalanceRecord> {
    const { atMs, minVersion } = options;
    const { merchantId, deadline } = context;
    const balance =
      atMs === undefined
        ? await getBalance(this.database, merchantId, accountId, deadline)
        : await getBalanceAt(this.database, merchantId, accountId, atMs, deadline);
    if (!balance) throw notFound('account');
    if (minVersion !== undefined && balance.version < minVersion) {
      throw invalid('min_version', `is ${minVersion}, but the account is at version ${balance.version}`);
    }
    return balance;
  }
}

/** A page of statement lines with the side that makes the account's balance grow. */
export class ListStatementQuery extends Query<{ normalSide: Side; lines: StatementLine[] }> {
  constructor(
    readonly context: RequestContext,
    readonly page: Parameters<typeof listStatementLines>[2],
  ) {
    super();
  }
}

@QueryHandler(ListStatementQuery)
export class ListStatementHandler implements IQueryHandler<ListStatementQuery> {
  constructor(
    private readonly database: Database,
    private readonly directory: AccountDirectory,
  ) {}

  async execute({ context, page }: ListStatementQuery): Promise<{ normalSide: Side; lines: StatementLine[] }> {
    const [account] = await this.directory.find(context.merchantId, [{ id: page.accountId }], context.deadline);
    if (!account) throw notFound('account');
    const lines = await listStatementLines(this.database, context.merchantId, page, context.deadline);
    return { normalSide: account.normalSide, lines };
  }
}
