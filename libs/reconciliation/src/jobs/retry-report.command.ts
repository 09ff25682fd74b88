import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { notFound, ProblemError } from '#kernel/problem.js';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import type { Report } from '../reports/report.js';
import { findReport } from '../reports/report-store.js';
import { ReportQueue } from './report-queue.js';
import { retryReport } from './work-store.js';

/** Has a report that failed while it was matched tried again, from where it stood. Throws `not_found` and `invalid_transition`. */
export class RetryReportCommand extends Command<Report> {
  constructor(
    readonly context: RequestContext,
    readonly id: bigint,
  ) {
    super();
  }
}

@CommandHandler(RetryReportCommand)
export class RetryReportHandler implements ICommandHandler<RetryReportCommand> {
  constructor(
    private readonly database: Database,
    private readonly queue: ReportQueue,
  ) {}

  async execute({ context: { merchantId, deadline }, id }: RetryReportCommand): Promise<Report> {
    const key = { merchantId, id };
    const report = await this.database.transaction({ merchantIds: [merchantId] }, deadline, async (client) => {
      const isRetried = await retryReport(client, key);
      const found = await findReport(client, merchantId, id);
      if (!found) throw notFound('reconciliation');
      if (!isRetried) throw refusalOf(found);
      return found;
    });
    this.queue.addSoon(key, report.traceContext);
    return report;
  }
}

function refusalOf({ status }: Report): ProblemError {
  const why =
    status === 'failed'
      ? 'The upload of the report failed: nothing of it was kept. Send it again.'
      : `The report is ${status}: only one that failed while it was matched is tried again.`;
  return new ProblemError('invalid_transition', why);
}
