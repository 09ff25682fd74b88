import { randomUUID } from 'node:crypto';
import { expect, inject, onTestFinished, test } from 'vitest';
import { ConsumerHost } from '#outbox/consumers/consumer-host.js';
import { ConsumerQueue } from '#outbox/consumers/consumer-queue.js';
import { OwnProcess, type Task, Tasks } from '#outbox/consumers/task.js';
import { RelayStore } from '#outbox/relay/relay-store.js';
import { Deadline } from '#platform/deadline.js';
import { createLogger } from '#platform/logging.js';
import { Queues } from '#platform/queues.js';
import { RECORDS, Recorder } from './outbox/recorder.js';
import { asAdmin, freshDatabase } from './support/database.js';
import { TestLedger, transfer } from './support/ledger.js';
import { until } from './support/until.js';

const NAME = 'by_event';
const logger = createLogger({ level: 'silent', service: 'test' });

/** Commits, and loses the answer of the first run: as when the process ends between its COMMIT and its report. */
class LosesFirstAnswer extends OwnProcess {
  runs = 0;

  override async run(task: Task) {
    const done = await super.run(task);
    this.runs += 1;
    if (this.runs === 1) throw new Error('the answer was lost');
    return done;
  }
}

test('that something was applied is told also when its answer was lost, and the job found nothing left', async () => {
  const on = await freshDatabase();
  await asAdmin(on.ownerUrl, (client) => client.query(RECORDS));
  const ledger = await TestLedger.open(on);
  const { database, ids } = ledger;
  const queues = new Queues(inject('redisQueueUrl'), on.runtimeUrl, logger);
  const queue = new ConsumerQueue(NAME, queues, { batchSize: 100, from: 'beginning' });
  const applier = { pageEvents: 100, maxTries: 10, timeoutMs: 20_000 };
  const runner = new LosesFirstAnswer(new Tasks(database, new Recorder(NAME, 'event'), randomUUID(), applier));
  let heard = 0;
  const parts = { runner, queues, database, ids, logger, onApplied: () => heard++ };
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
  const batches = await store.next(NAME, partitions, { batchSize: 100, resendMs: 60_000 });
  expect(batches).toHaveLength(1);
  await queue.dispatch(batches);
  host.start();
  await until('the job has found nothing left', () => runner.runs === 2);
  await until('it is told', () => heard > 0);
  expect([host.counts.failures, host.counts.events]).toEqual([1, 0]);
  const [row] = await database.read<{ count: number }>('platform', Deadline.after(5_000), {
    text: 'SELECT count(*)::int AS count FROM records',
  });
  expect(row?.count).toBeGreaterThan(0);
});
