import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import { type Answer, type Answering, IdempotentRequests } from '#platform/idempotency.js';
import type { RequestContext } from '#platform/request-context.js';
import { traceparentOf } from '#platform/tracing.js';
import { ReportQueue } from '../jobs/report-queue.js';
import { inTurn } from '../matching/turn.js';
import type { Report } from '../reports/report.js';
import { findReport } from '../reports/report-store.js';
import { BEGIN_NOW } from './internal-store.js';

/** Has a merchant's books checked now. While a check of them is in work, that is the answer. */
export class BeginCheckCommand extends Command<Answer> {
  constructor(
    readonly context: RequestContext,
    readonly askedBy: string,
    readonly answering: Answering<Report>,
  ) {
    super();
  }
}

@CommandHandler(BeginCheckCommand)
export class BeginCheckHandler implements ICommandHandler<BeginCheckCommand> {
  constructor(
    private readonly requests: IdempotentRequests,
    private readonly ids: SnowflakeGenerator,
    private readonly queue: ReportQueue,
  ) {}

  async execute({ context, askedBy, answering }: BeginCheckCommand): Promise<Answer> {
    const { merchantId, span } = context;
    const traceContext = traceparentOf(span);
    const values = [merchantId, this.ids.next(), askedBy, traceContext ?? null];
    let begun: Report | undefined;
    const answer = await this.requests.answer(merchantId, context, answering, async (client) => {
      // Of two who ask at once the second sees what the first has begun.
      const { id } = await inTurn<{ id: bigint }>(client, merchantId, { text: BEGIN_NOW, values });
      begun = (await findReport(client, merchantId, id)) as Report;
      return begun;
    });
    if (begun) this.queue.addSoon(merchantId, traceContext);
    return answer;
  }
}
