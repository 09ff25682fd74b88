import { Inject, Module } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import { dutiesOf, failuresOf, type NamedWork } from '#platform/due-duties.js';
import type { DutyPlan } from '#platform/duty.js';
import type { Logger } from '#platform/logging.js';
import { labelled, type Metrics } from '#platform/metrics.js';
import { CONFIG, LOGGER } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import { PublicHttp } from '#platform/public-http.js';
import { urlRulesOf } from '#platform/public-url.js';
import type { BringsDuties, BringsMetrics } from '#platform/room-hooks.js';
import { timerOptionsOf } from '../payment-submissions.js';
import { Inbox } from '../providers/inbox.js';
import { ProvidersModule } from '../providers/providers.module.js';
import type { PaymentsSettings } from '../settings.js';
import { parkedFacts, paymentExpiry, settleFactLetters } from './due-payments.js';
import { ParkedBacklog } from './parked-backlog.js';
import { PaymentQueries } from './payment-queries.js';

const HOUR_MS = 3_600_000;
const LOOK_INTERVAL_MS = 10_000;

/** What of payments is due at a time of its own. */
@Module({ imports: [ProvidersModule] })
export class TimersWorkerModule implements BringsDuties, BringsMetrics {
  readonly #backlog: ParkedBacklog;
  readonly #queries: PaymentQueries;
  readonly #work: NamedWork;

  constructor(
    @Inject(CONFIG) private readonly config: PaymentsSettings,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly database: Database,
    private readonly commands: CommandBus,
    ids: SnowflakeGenerator,
    inbox: Inbox,
  ) {
    const parts = { database, commands, logger };
    const http = new PublicHttp({
      ...urlRulesOf(config),
      connectTimeoutMs: config.paymentQueryTimeoutMs,
      headersTimeoutMs: config.paymentQueryTimeoutMs,
      timeoutMs: config.paymentQueryTimeoutMs,
      responseBytes: config.paymentQueryAnswerBytes,
    });
    this.#queries = new PaymentQueries(
      { database, ids, inbox, http, logger },
      {
        ...timerOptionsOf(config),
        concurrency: config.paymentQueryConcurrency,
        stripeApiUrl: config.stripeApiUrl,
        inboxRetryMs: config.providerInboxRetryMs,
      },
    );
    this.#work = {
      'expire payments': paymentExpiry(parts),
      'give up on parked facts': parkedFacts(parts),
      'ask providers': this.#queries.work,
    };
    this.#backlog = new ParkedBacklog(database, config.parkedFactMaxAgeHours * HOUR_MS);
  }

  duties(): readonly DutyPlan[] {
    const { database, commands, logger, config } = this;
    const intervalMs = config.paymentTimersPollMs;
    const count = { name: 'count parked facts', intervalMs: LOOK_INTERVAL_MS, round: () => this.#backlog.look() };
    return [
      ...dutiesOf(this.#work, intervalMs),
      {
        name: 'settle dead letters of facts',
        intervalMs,
        round: () => settleFactLetters({ database, commands, logger }),
      },
      ...(config.metricsPort === 0 ? [] : [count]),
    ];
  }

  addMetrics(metrics: Metrics): void {
    this.#backlog.addMetrics(metrics);
    metrics.counter(
      'counterfoil_payment_queries_total',
      'Questions to providers about payments by what came of them.',
      () => labelled('outcome', this.#queries.counts),
    );
    metrics.counter('counterfoil_payment_timer_failures_total', 'Timers of payments whose work failed.', () =>
      failuresOf(this.#work),
    );
  }
}
