import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { notFound } from '#kernel/problem.js';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import type { Found } from '#platform/search.js';
import { AccountDirectory } from '../accounts/account-directory.js';
import type { Posting } from '../posting/posting.js';
import { listTransactions, type TransactionPage, type TransactionSummary } from './transaction-list.js';
import { loadTransactions } from './transaction-store.js';

/** Whole transactions in the order of their ids; ids that the merchant does not have are left out. */
export class GetTransactionsQuery extends Query<Posting[]> {
  constructor(
    readonly context: RequestContext,
    readonly ids: readonly bigint[],
  ) {
    super();
  }
}

@QueryHandler(GetTransactionsQuery)
export class GetTransactionsHandler implements IQueryHandler<GetTransactionsQuery> {
  constructor(
    private readonly database: Database,
    private readonly directory: AccountDirectory,
  ) {}

  async execute({ context, ids }: GetTransactionsQuery): Promise<Posting[]> {
    const stored = await loadTransactions(this.database, context.merchantId, ids, context.deadline);
    context.cost.addRows(stored.reduce((sum, { transaction }) => sum + transaction.entries.length, 0));
    const accounts = await this.directory.ofTransactions(
      context,
      stored.map(({ transaction }) => transaction),
    );
    return stored.map(({ transaction, state }) => ({ transaction, state, accounts }));
  }
}

export class ListTransactionsQuery extends Query<Found<TransactionSummary>> {
  constructor(
    readonly context: RequestContext,
    readonly page: TransactionPage,
  ) {
    super();
  }
}

@QueryHandler(ListTransactionsQuery)
export class ListTransactionsHandler implements IQueryHandler<ListTransactionsQuery> {
  constructor(
    private readonly database: Database,
    private readonly directory: AccountDirectory,
  ) {}

  async execute({ context, page }: ListTransactionsQuery): Promise<Found<TransactionSummary>> {
    const { accountId, parentId } = page.filter;
    if (accountId !== undefined) {
      const [account] = await this.directory.find(context.merchantId, [{ id: accountId }], context.deadline);
      if (!account) throw notFound('account');
    }
    if (parentId !== undefined) {
      const [parent] = await loadTransactions(this.database, context.merchantId, [parentId], context.deadline);
      if (!parent) throw notFound('transaction');
    }
    return listTransactions(this.database, context, page);
  }
}
