import { type DynamicModule, Global, Inject, Module, type OnApplicationShutdown } from '@nestjs/common';
import type { Config } from '#platform/config.js';
import { CommitHints } from './commit-hints.js';
import { HintSender } from './hint.js';

const HINT_SENDER = Symbol('HintSender');

/** Carries the hint that something was committed: to listeners in this process, and over Redis to the relays. */
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
      ],
      exports: [CommitHints],
    };
  }

  onApplicationShutdown(): void {
    this.sender?.close();
  }
}
