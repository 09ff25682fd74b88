import { type DynamicModule, Global, Inject, Module, type OnApplicationShutdown } from '@nestjs/common';
import { systemClock } from '#kernel/clock.js';
import type { Config } from '#platform/config.js';
import type { Logger } from '#platform/logging.js';
import { LOGGER } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import { CommitHints, HintSender } from './hints.js';
import { LogWatch } from './log-watch.js';

const HINT_SENDER = Symbol('HintSender');

/**
 * Carries the hint that something was committed: to listeners in this process, and over Redis to the relays; and what
 * follows the log for clients. Needs PlatformModule.
 */
@Global()
@Module({})
export class OutboxModule implements OnApplicationShutdown {
  constructor(@Inject(HINT_SENDER) private readonly sender: HintSender | undefined) {}

  static with(config: Config): DynamicModule {
    return {
      module: OutboxModule,
      providers: [
        CommitHints,
        {
          provide: HINT_SENDER,
          useFactory: (hints: CommitHints) => {
            const url = config.redisUrl ?? config.redisQueueUrl;
            if (!url) return undefined;
            const sender = new HintSender(url, config.databaseRuntimeUrl);
            hints.listen(() => sender.send());
            return sender;
          },
          inject: [CommitHints],
        },
        {
          provide: LogWatch,
          useFactory: (database: Database, hints: CommitHints, logger: Logger) =>
            new LogWatch(
              { database, hints, logger, clock: systemClock },
              {
                pollMs: config.outbox.eventPollMs,
                followers: config.outbox.eventFollowers,
                followersPerMerchant: config.outbox.eventFollowersPerMerchant,
              },
            ),
          inject: [Database, CommitHints, LOGGER],
        },
      ],
      exports: [CommitHints, LogWatch],
    };
  }

  onApplicationShutdown(): void {
    this.sender?.close();
  }
}
