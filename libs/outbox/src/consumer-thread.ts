import { parentPort, workerData } from 'node:worker_threads';
import { Database } from '#platform/postgres.js';
import { type ApplierOptions, BatchApplier, describe, type Run, type RunOutcome } from './batch-applier.js';
import type { Consumer } from './consumer.js';
import { type Redrive, Redriver } from './redriver.js';

export interface ThreadData {
  consumer: string;
  /** As whom it claims partitions; unique. */
  claimant: string;
  databaseUrl: string;
  connectTimeoutMs: number;
  applier: ApplierOptions;
}

export type Task = { kind: 'run'; run: Run } | { kind: 'redrive'; redrive: Redrive };
export type Report =
  | { kind: 'progress' }
  | { kind: 'ran'; outcome: RunOutcome }
  | { kind: 'redriven'; here: boolean }
  | { kind: 'failed'; error: string };

/** One for the transaction of the effect, one for what is noted when it fails. */
const POOL_SIZE = 2;

/**
 * The body of a consumer's thread: one task at a time, each told by a message. A handler that ends the thread, eats its
 * memory or never returns takes nothing with it: the host replaces the thread, and the open transaction is rolled back.
 */
export function serveConsumer(consumers: readonly Consumer[]): void {
  const { consumer: name, claimant, databaseUrl, connectTimeoutMs, applier: options } = workerData as ThreadData;
  const consumer = consumers.find((one) => one.name === name);
  const port = parentPort;
  if (!consumer || !port) throw new Error(`there is no consumer ${name}, or this is no thread`);
  const database = new Database(databaseUrl, {
    poolSize: POOL_SIZE,
    connectTimeoutMs,
    applicationName: `counterfoil-${name}`,
  });
  const applier = new BatchApplier(database, consumer, claimant, options);
  const redriver = new Redriver({ database, consumer, applier }, options);
  const report = (message: Report): void => port.postMessage(message);
  const progress = (): void => report({ kind: 'progress' });
  port.on('message', async (task: Task) => {
    try {
      if (task.kind === 'run') report({ kind: 'ran', outcome: await applier.run(task.run, progress) });
      else report({ kind: 'redriven', here: await redriver.carryOut(task.redrive, progress) });
    } catch (error) {
      report({ kind: 'failed', error: describe(error) });
    }
  });
}
