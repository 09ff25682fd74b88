import { randomUUID } from 'node:crypto';
import { expect, inject, onTestFinished, test } from 'vitest';
import type { Leaves, LoggedEvent } from '#outbox/consumers/consumer.js';
import { ConsumerHost } from '#outbox/consumers/consumer-host.js';
import { ConsumerQueue } from '#outbox/consumers/consumer-queue.js';
import { OwnProcess, type Task, Tasks } from '#outbox/consumers/task.js';
import { RelayStore } from '#outbox/relay/relay-store.js';
import { Deadline } from '#platform/deadline.js';
import { createLogger } from '#platform/logging.js';
import type { TransactionClient } from '#platform/postgres.js';
import { Queues } from '#platform/queues.js';
import { RECORDS, Recorder } from './outbox/recorder.js';
import { asAdmin, freshDatabase } from './support/database.js';
import { TestLedger, transfer } from './support/ledger.js';
import { until } from './support/until.js';

const NAME = 'by_event';
const logger = createLogger({ level: 'silent', service: 'test' });

/** How the first run ends: well; not begun; or it commits, and its answer is lost, as when the process ends between its COMMIT and its report. */
type First = 'is well' | 'is not begun' | 'has lost its answer';

class Runner extends OwnProcess {
  runs = 0;

  constructor(
    tasks: Tasks,
    readonly first: First,
  ) {
    super(tasks);
  }

  override async run(task: Task) {
    this.runs += 1;
    const fails = this.runs === 1 && this.first !== 'is well';
    if (fails && this.first === 'is not begun') throw new Error('not begun');
    const done = await super.run(task);
    if (fails) throw new Error('the answer was lost');
    return done;
  }
}

/** Leaves something to be done for the merchant of each event. */
class Leaving extends Recorder {
  override async apply(client: TransactionClient, events: readonly LoggedEvent[], leaves?: Leaves): Promise<void> {
    await super.apply(client, events);
    for (const { merchantId } of events) leaves?.([merchantId]);
  }
}

test.each([
  // What a try before this one committed is known to nobody.
  { first: 'is well', failures: 0, isKnown: true, isApplied: true },
  { first: 'is not begun', failures: 1, isKnown: false, isApplied: true },
  { first: 'has lost its answer', failures: 1, isKnown: false, isApplied: false },
] as const)(
  'that something was applied is told, and for whom something is left, where the first run $first',
  async (of) => {
    const on = await freshDatabase();
    await asAdmin(on.ownerUrl, (client) => client.query(RECORDS));
    const ledger = await TestLedger.open(on);
    const { database, ids } = ledger;
    const queues = new Queues(inject('redisQueueUrl'), on.runtimeUrl, logger);
    const queue = new ConsumerQueue(NAME, queues, { batchSize: 100, from: 'beginning' });
    const applier = { pageEvents: 100, maxTries: 10, timeoutMs: 20_000 };
    const runner = new Runner(new Tasks(database, new Leaving(NAME, 'event'), randomUUID(), applier), of.first);
    const heard: (readonly bigint[] | undefined)[] = [];
    const onApplied = (merchantIds?: readonly bigint[]) => void heard.push(merchantIds);
    const parts = { runner, queues, database, ids, logger, onApplied };
    const host = new ConsumerHost(NAME, parts, { jobLockMs: 30_000, pageEvents: 100, concurrency: 1 });
    onTestFinished(async () => {
      await host.close(5_000);
      await queues.close();
      await ledger.close();
      await on.drop();
    });

    const merchant = await ledger.createMerchant();
    const from = await ledger.createAccount(merchant, { code: 'from' });
    const to = await ledger.createAccount(merchant, { code: 'to' });
    await ledger.post(merchant, transfer(from, to, 10n));
    const store = new RelayStore(database);
    await store.register(NAME, queue);
    const partitions = Array.from({ length: 64 }, (_, partition) => partition);
    // Other tests' transactions on the same server may hold it back for a while.
    const batches = await until('it can be read from the log', async () => {
      const next = await store.next(NAME, partitions, { batchSize: 100, resendMs: 60_000 });
      return next.length > 0 && next;
    });
    await queue.dispatch(batches);
    host.start();
    await until('it is told', () => heard.length > 0);
    expect(heard.map((left) => left && [...new Set(left)])).toEqual([of.isKnown ? [merchant] : undefined]);
    expect([host.counts.failures, host.counts.events > 0]).toEqual([of.failures, of.isApplied]);
    const [row] = await database.read<{ count: number }>('platform', Deadline.after(5_000), {
      text: 'SELECT count(*)::int AS count FROM records',
    });
    expect(row?.count).toBeGreaterThan(0);
  },
);
