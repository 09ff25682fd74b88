import { Global, Inject, Module, type OnApplicationShutdown } from '@nestjs/common';
import { systemClock } from '#kernel/clock.js';
import type { Logger } from '#platform/logging.js';
import type { Metrics } from '#platform/metrics.js';
import { CONFIG, LOGGER } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import type { BringsMetrics } from '#platform/room-hooks.js';
import { DeadLettersModule } from './dead-letters/dead-letters.module.js';
import { CommitHints, HintSender } from './log/hints.js';
import { LogWatch } from './log/log-watch.js';
import type { OutboxSettings } from './settings.js';

const HINT_SENDER = Symbol('HintSender');

/**
 * Carries the hint that something was committed: to listeners in this process, and over Redis to the relays; and what
 * follows the log for clients. Needs PlatformModule.
 */
@Global()
@Module({
  imports: [DeadLettersModule],
  providers: [
    CommitHints,
    {
      provide: HINT_SENDER,
      useFactory: (hints: CommitHints, config: OutboxSettings) => {
        const url = config.redisUrl ?? config.redisQueueUrl;
        if (!url) return undefined;
        const sender = new HintSender(url, config.databaseRuntimeUrl);
        hints.listen((_merchantIds, span) => sender.send('', span));
        return sender;
      },
      inject: [CommitHints, CONFIG],
    },
    {
      provide: LogWatch,
      useFactory: (database: Database, hints: CommitHints, logger: Logger, config: OutboxSettings) =>
        new LogWatch(
          { database, hints, logger, clock: systemClock },
          {
            pollMs: config.eventPollMs,
            followers: config.eventFollowers,
            followersPerMerchant: config.eventFollowersPerMerchant,
          },
        ),
      inject: [Database, CommitHints, LOGGER, CONFIG],
    },
  ],
  exports: [CommitHints, LogWatch],
})
export class OutboxModule implements OnApplicationShutdown, BringsMetrics {
  constructor(
    @Inject(HINT_SENDER) private readonly sender: HintSender | undefined,
    private readonly watch: LogWatch,
  ) {}

  addMetrics(metrics: Metrics): void {
    const { watch } = this;
    metrics.gauge('counterfoil_event_followers', 'Requests and streams that follow a log.', () => watch.followers);
    metrics.counter('counterfoil_event_polls_total', 'Looks into the log for those who wait.', () => watch.polls);
  }

  onApplicationShutdown(): void {
    this.sender?.close();
  }
}
