import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { notFound } from '#kernel/problem.js';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import { type ListedBadRow, listBadRows } from './bad-row-store.js';
import type { Report } from './report.js';
import { findReport, listReports, type ReportPage } from './report-store.js';

/** Throws `not_found`. */
export class GetReportQuery extends Query<Report> {
  constructor(
    readonly context: RequestContext,
    readonly reportId: bigint,
  ) {
    super();
  }
}

@QueryHandler(GetReportQuery)
export class GetReportHandler implements IQueryHandler<GetReportQuery> {
  constructor(private readonly database: Database) {}

  async execute({ context: { merchantId, deadline }, reportId }: GetReportQuery): Promise<Report> {
    const scope = { merchantIds: [merchantId] };
    const report = await this.database.transaction(scope, deadline, (client) =>
      findReport(client, merchantId, reportId),
    );
    if (!report) throw notFound('reconciliation');
    return report;
  }
}

export class ListReportsQuery extends Query<Report[]> {
  constructor(
    readonly context: RequestContext,
    readonly page: ReportPage,
  ) {
    super();
  }
}

@QueryHandler(ListReportsQuery)
export class ListReportsHandler implements IQueryHandler<ListReportsQuery> {
  constructor(private readonly database: Database) {}

  execute({ context, page }: ListReportsQuery): Promise<Report[]> {
    return listReports(this.database, context.merchantId, page, context.deadline);
  }
}

/** Rows of a report that could not be read, in their order. Throws `not_found`. */
export class ListBadRowsQuery extends Query<ListedBadRow[]> {
  constructor(
    readonly context: RequestContext,
    readonly reportId: bigint,
    readonly page: { afterLine: bigint; limit: number },
  ) {
    super();
  }
}

@QueryHandler(ListBadRowsQuery)
export class ListBadRowsHandler implements IQueryHandler<ListBadRowsQuery> {
  constructor(private readonly database: Database) {}

  async execute({ context: { merchantId, deadline }, reportId, page }: ListBadRowsQuery): Promise<ListedBadRow[]> {
    const rows = await listBadRows(this.database, { merchantId, reportId }, page, deadline);
    if (!rows) throw notFound('reconciliation');
    return rows;
  }
}
