import { inject } from 'vitest';
import type { Consumer } from '#outbox/consumers/consumer.js';
import type { Reactions } from '#outbox/consumers/reactions.js';
import { Outbox } from '#outbox/outbox.js';
import type { RelayTarget } from '#outbox/relay/relay.js';
import { Duty } from '#platform/duty.js';
import { createLogger } from '#platform/logging.js';
import { readConfig } from '../../apps/config.js';
import type { TestDatabase } from '../support/database.js';
import type { TestLedger } from '../support/ledger.js';
import { sourceProcess } from '../support/source-process.js';
import { RECORDERS } from './recorder.js';

/** Short waits, so that what comes back does so within a test. */
const QUICK = {
  RELAY_IDLE_MS: '50',
  RELAY_LEASE_MS: '1000',
  RELAY_RESEND_MS: '2000',
  CONSUMER_TIMEOUT_MS: '2500',
  CONSUMER_TRIES: '2',
  CONSUMER_MEMORY_MB: '64',
};

/** One worker's share of the log, in this process, with real processes, queues and PostgreSQL. */
export class TestOutbox {
  private constructor(
    readonly outbox: Outbox,
    private readonly duties: Duty[],
  ) {}

  static async start(
    on: TestDatabase,
    ledger: TestLedger,
    options: {
      environment?: Record<string, string>;
      consumers?: readonly Consumer[];
      targets?: readonly RelayTarget[];
      reactions?: readonly Reactions[];
    } = {},
  ): Promise<TestOutbox> {
    const config = readConfig({
      DATABASE_URL: on.ownerUrl,
      DATABASE_RUNTIME_URL: on.runtimeUrl,
      REDIS_QUEUE_URL: inject('redisQueueUrl'),
      ...QUICK,
      ...options.environment,
    });
    const logger = createLogger({ level: (process.env.OUTBOX_LOG ?? 'silent') as 'silent', service: 'test' });
    const outbox = new Outbox({
      config,
      database: ledger.database,
      ids: ledger.ids,
      logger,
      targets: options.targets ?? [],
      consumers: options.consumers ?? RECORDERS,
      reactions: options.reactions ?? [],
      process: sourceProcess(new URL('./recorder-process.ts', import.meta.url)),
    });
    await outbox.start();
    const duties = outbox.duties.map((duty) => {
      return new Duty({ ...duty, intervalMs: Math.min(duty.intervalMs, 200), logger }).start();
    });
    return new TestOutbox(outbox, duties);
  }

  async stop(): Promise<void> {
    await Promise.all(this.duties.map((duty) => duty.stop()));
    await this.outbox.stop(5_000);
  }
}
