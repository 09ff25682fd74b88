import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { notFound } from '#kernel/problem.js';
import { AccountDirectory } from '#ledger/accounts/account-directory.js';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import { DailySummaries } from './daily-summaries.js';
import {
  type Currentness,
  currentnessOf,
  type DailySummary,
  listDailySummaries,
  type SummaryFilter,
  type SummaryKey,
} from './summary-store.js';

export interface SummaryPage extends Currentness {
  rows: DailySummary[];
}

/** A page of a merchant's daily summaries, newest day first, and how current they are. Throws `not_found` for a foreign account. */
export class ListDailySummariesQuery extends Query<SummaryPage> {
  constructor(
    readonly context: RequestContext,
    readonly page: { filter: SummaryFilter; before: SummaryKey | undefined; limit: number },
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

  async execute({ context: { merchantId, deadline }, page }: ListDailySummariesQuery): Promise<SummaryPage> {
    const { accountId } = page.filter;
    if (accountId !== undefined) {
      const [account] = await this.directory.find(merchantId, [{ id: accountId }], deadline);
      if (!account) throw notFound('account');
    }
    return this.database.transaction({ merchantIds: [merchantId] }, deadline, async (client) => {
      const [currentness, rows] = await Promise.all([
        currentnessOf(client, merchantId, this.#consumer),
        listDailySummaries(client, merchantId, page),
      ]);
      return { ...currentness, rows };
    });
  }
}
