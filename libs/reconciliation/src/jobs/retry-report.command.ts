import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { notFound, ProblemError } from '#kernel/problem.js';
import { type Answer, type Answering, IdempotentRequests } from '#platform/idempotency.js';
import type { RequestContext } from '#platform/request-context.js';
import type { Report } from '../reports/report.js';
import { findReport } from '../reports/report-store.js';
import { ReportQueue } from './report-queue.js';
import { retryReport } from './work-store.js';

/** Has a report that failed while it was matched tried again, from where it stood. Refuses with `not_found` and `invalid_transition`. */
export class RetryReportCommand extends Command<Answer> {
  constructor(
    readonly context: RequestContext,
    readonly id: bigint,
    readonly answering: Answering<Report>,
  ) {
    super();
  }
}

@CommandHandler(RetryReportCommand)
export class RetryReportHandler implements ICommandHandler<RetryReportCommand> {
  constructor(
    private readonly requests: IdempotentRequests,
    private readonly queue: ReportQueue,
  ) {}

  async execute({ context, id, answering }: RetryReportCommand): Promise<Answer> {
    const { merchantId } = context;
    let isDone = false;
    const answer = await this.requests.answer(merchantId, context, answering, async (client) => {
      const isRetried = await retryReport(client, { merchantId, id });
      const report = await findReport(client, merchantId, id);
      if (!report) throw notFound('reconciliation');
      if (!isRetried) throw refusalOf(report);
      isDone = true;
      return report;
    });
    if (isDone) this.queue.addSoon(merchantId);
    return answer;
  }
}

function refusalOf({ status }: Report): ProblemError {
  const why =
    status === 'failed'
      ? 'The upload of the report failed: nothing of it was kept. Send it again.'
      : `The report is ${status}: only one that failed while it was matched is tried again.`;
  return new ProblemError('invalid_transition', why);
}
