import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { notFound } from '#kernel/problem.js';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import type { Found } from '#platform/search.js';
import type { Side } from '../accounts/account.js';
import { AccountDirectory } from '../accounts/account-directory.js';
import { type AccountPage, listAccounts } from '../accounts/account-list.js';
import { type AccountRecord, getAccount } from '../accounts/account-store.js';
import { listStatementLines, type StatementLine, type StatementPage } from './statement-store.js';

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

export class ListAccountsQuery extends Query<Found<AccountRecord>> {
  constructor(
    readonly context: RequestContext,
    readonly page: AccountPage,
  ) {
    super();
  }
}

@QueryHandler(ListAccountsQuery)
export class ListAccountsHandler implements IQueryHandler<ListAccountsQuery> {
  constructor(private readonly database: Database) {}

  execute({ context, page }: ListAccountsQuery): Promise<Found<AccountRecord>> {
    return listAccounts(this.database, context, page);
  }
}

/** A page of statement lines with the side that makes the account's balance grow. */
export class ListStatementQuery extends Query<{ normalSide: Side; lines: Found<StatementLine> }> {
  constructor(
    readonly context: RequestContext,
    readonly page: StatementPage,
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

  async execute({ context, page }: ListStatementQuery): Promise<{ normalSide: Side; lines: Found<StatementLine> }> {
    const [account] = await this.directory.find(context.merchantId, [{ id: page.accountId }], context.deadline);
    if (!account) throw notFound('account');
    const lines = await listStatementLines(this.database, context, page);
    return { normalSide: account.normalSide, lines };
  }
}
