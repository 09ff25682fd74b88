import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import type { Span } from '@opentelemetry/api';
import { systemClock } from '#kernel/clock.js';
import { invalid, ProblemError } from '#kernel/problem.js';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import { type Answer, type Answering, IdempotentRequests, PLATFORM_TENANT } from '#platform/idempotency.js';
import { CONFIG } from '#platform/platform.module.js';
import type { RequestBounds } from '#platform/request-context.js';
import { inSpan, startApart, traceparentOf } from '#platform/tracing.js';
import type { SettlementSettings } from '../settings.js';
import { NightQueue } from './night-queue.js';
import { findRun, insertRun, type Run, unknownMerchants } from './run-store.js';

/** Where days begin first: 14 hours ahead of UTC. */
const MOST_AHEAD_MS = 14 * 3_600_000;

/** Has a business day settled of some merchants, or of all. Throws `validation_failed`. */
export class StartRunCommand extends Command<Answer> {
  constructor(
    readonly context: RequestBounds,
    readonly asked: { businessDate: string; merchantIds: readonly bigint[] | undefined },
    readonly answering: Answering<Run>,
  ) {
    super();
  }
}

@CommandHandler(StartRunCommand)
export class StartRunHandler implements ICommandHandler<StartRunCommand> {
  constructor(
    private readonly requests: IdempotentRequests,
    private readonly ids: SnowflakeGenerator,
    private readonly queue: NightQueue,
    @Inject(CONFIG) private readonly config: SettlementSettings,
  ) {}

  async execute({ context, asked, answering }: StartRunCommand): Promise<Answer> {
    const { businessDate, merchantIds } = asked;
    if (businessDate > newestDay(systemClock.now())) throw invalid('business_date', 'has not begun anywhere on earth');
    const id = this.ids.next();
    const span = runSpan(id, businessDate, context.span);
    const traceContext = traceparentOf(span);
    const rangeMerchants = this.config.settlementRangeMerchants;
    let ranges = 0;
    const answer = await inSpan(span, () =>
      this.requests.answer(PLATFORM_TENANT, context, answering, async (client) => {
        const unknown = merchantIds ? await unknownMerchants(client, merchantIds) : [];
        if (unknown.length > 0) throw unknownProblem(unknown);
        const run = { id, businessDate, askedBy: 'operator', merchantIds, rangeMerchants, traceContext } as const;
        ranges = await insertRun(client, run);
        return (await findRun(client, id)) as Run;
      }),
    );
    this.queue.addSoon(id, [...Array(ranges).keys()], traceContext);
    return answer;
  }
}

/** `YYYY-MM-DD` */
function newestDay(nowMs: number): string {
  return new Date(nowMs + MOST_AHEAD_MS).toISOString().slice(0, 10);
}

/** A trace of its own, which its jobs are in: it goes on long after the request. */
export function runSpan(id: bigint, businessDate: string, request?: Span): Span {
  return startApart(request, 'settlement run', {
    attributes: { 'counterfoil.settlement_run_id': String(id), 'counterfoil.business_date': businessDate },
  });
}

function unknownProblem(places: readonly number[]): ProblemError {
  const errors = places.map((place) => ({ path: `merchant_ids.${place}`, message: 'there is no such merchant' }));
  return new ProblemError('validation_failed', `merchant_ids.${places[0]}: there is no such merchant`, { errors });
}
