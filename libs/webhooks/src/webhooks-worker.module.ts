import { randomUUID } from 'node:crypto';
import { Inject, Module, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { systemClock } from '#kernel/clock.js';
import type { HintReceiver } from '#outbox/log/hints.js';
import type { HearsApplied } from '#outbox/room.js';
import type { DutyPlan } from '#platform/duty.js';
import type { Logger } from '#platform/logging.js';
import type { Metrics } from '#platform/metrics.js';
import { CONFIG, LOGGER } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import type { BringsDuties, BringsMetrics } from '#platform/room-hooks.js';
import { DueHints, receiveDueHints } from './due-hints.js';
import { WebhookFanOut } from './fan-out.js';
import { openWebhookSender } from './open-sender.js';
import { purgeWebhooks } from './purge.js';
import type { WebhookSender } from './sender.js';
import type { WebhooksSettings } from './settings.js';
import { addWebhookMetrics, WebhookBacklog } from './webhook-metrics.js';
import { WebhooksModule } from './webhooks.module.js';

const BACKLOG_INTERVAL_MS = 10_000;
/** Deliveries are kept for days: an hour later or earlier is all the same. */
const PURGE_INTERVAL_MS = 3_600_000;
const DAY_MS = 86_400_000;

/** Sends what is due, and purges what was sent. */
@Module({ imports: [WebhooksModule] })
export class WebhooksWorkerModule
  implements OnApplicationBootstrap, OnModuleDestroy, BringsDuties, BringsMetrics, HearsApplied
{
  /** Among workers. */
  readonly #name = randomUUID();
  readonly #sender: WebhookSender;
  readonly #backlog: WebhookBacklog;
  #dueHints: HintReceiver | undefined;

  constructor(
    @Inject(CONFIG) private readonly config: WebhooksSettings,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly database: Database,
    private readonly due: DueHints,
  ) {
    this.#sender = openWebhookSender(database, config, logger);
    this.#backlog = new WebhookBacklog(database);
  }

  duties(): readonly DutyPlan[] {
    const { config, database } = this;
    const duties = [
      { name: 'send webhooks', intervalMs: config.webhookPollMs, round: () => this.#sender.round() },
      {
        name: 'purge webhook deliveries',
        intervalMs: PURGE_INTERVAL_MS,
        round: () => purgeWebhooks(database, config.webhookRetentionDays * DAY_MS, systemClock.now()),
      },
    ];
    if (config.metricsPort === 0) return duties;
    const count = () => this.#backlog.look();
    return [...duties, { name: 'count webhooks that are due', intervalMs: BACKLOG_INTERVAL_MS, round: count }];
  }

  addMetrics(metrics: Metrics): void {
    addWebhookMetrics(metrics, { sender: this.#sender, backlog: this.#backlog, nowMs: () => systemClock.now() });
  }

  /** What was fanned out here may be sent here or by another worker. */
  applied(consumer: string, merchantIds?: readonly bigint[]): void {
    if (consumer !== WebhookFanOut.NAME || merchantIds?.length === 0) return;
    this.#sender.wake(merchantIds);
    this.due.send(this.#name);
  }

  onApplicationBootstrap(): void {
    this.#dueHints = receiveDueHints(this.config, this.logger, this.#name, () => this.#sender.wake());
    this.#sender.start();
  }

  async onModuleDestroy(): Promise<void> {
    this.#dueHints?.close();
    await this.#sender.stop();
  }
}
