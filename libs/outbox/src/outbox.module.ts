import { Global, Module } from '@nestjs/common';
import { systemClock } from '#kernel/clock.js';
import type { Config } from '#platform/config.js';
import type { Logger } from '#platform/logging.js';
import { CONFIG, LOGGER } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import { CommitHints } from './commit-hints.js';
import { LogWatch } from './log-watch.js';

/** What follows the event log as its writers go on. Needs PlatformModule. */
@Global()
@Module({
  providers: [
    CommitHints,
    {
      provide: LogWatch,
      useFactory: (database: Database, hints: CommitHints, logger: Logger, config: Config) =>
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
export class OutboxModule {}
