import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { notFound } from '#kernel/problem.js';
import { AccountDirectory } from '#ledger/accounts/account-directory.js';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import type { Found } from '#platform/search.js';
import { DailySummaries } from './daily-summaries.js';
import {
  type Currentness,
  currentnessOf,
  type DailySummary,
  listDailySummaries,
  type SummaryKey,
  type SummaryListPage,
} from './summary-store.js';

export type SummaryPage = Currentness & Found<DailySummary, SummaryKey>;

/** A page of a merchant's daily summaries, newest day first, and how current they are. Throws `not_found` for a foreign account. */
export class ListDailySummariesQuery extends Query<SummaryPage> {
  constructor(
    readonly context: RequestContext,
    readonly page: SummaryListPage,
  ) {
    super();
  }
}

@QueryHandler(ListDailySummariesQuery)
export class ListDailySummariesHandler implements IQueryHandler<ListDailySummariesQuery> {
  readonly #consumer = new DailySummaries().name;

  constructor(
    private readonly database: Database,
    private readonly directory: AccountDirectory,
  ) {}

  async execute({ context, page }: ListDailySummariesQuery): Promise<SummaryPage> {
    const { merchantId, deadline } = context;
    const { accountId } = page.filter;
    if (accountId !== undefined) {
      const [account] = await this.directory.find(merchantId, [{ id: accountId }], deadline);
      if (!account) throw notFound('account');
    }
    return this.database.transaction({ merchantIds: [merchantId], walks: true }, deadline, async (client) => {
      const [currentness, found] = await Promise.all([
        currentnessOf(client, merchantId, this.#consumer),
        listDailySummaries(client, context, page),
      ]);
      return { ...currentness, ...found };
    });
  }
}
