import { Worker } from 'node:worker_threads';
import { Deadline } from '#platform/deadline.js';
import { Database } from '#platform/postgres.js';
import { Telemetry, type TelemetryOptions } from '#platform/telemetry.js';
import { type ApplierOptions, describe } from './batch-applier.js';
import type { Consumer } from './consumer.js';
import { type Done, type Task, Tasks } from './task.js';

export interface ProcessData {
  consumer: string;
  /** As whom it claims partitions; unique. */
  claimant: string;
  databaseUrl: string;
  connectTimeoutMs: number;
  applier: ApplierOptions;
  telemetry: TelemetryOptions;
}

export type Report = Done | { kind: 'progress' } | { kind: 'failed'; error: string };

/** One for the transaction of the effect, one for what is noted when it fails. */
const POOL_SIZE = 2;
/** For the last spans; who is not gone soon after is killed. */
const SEND_MS = 1_000;

/** Its parent may be killed while a handler spins: only another thread notices then. */
const ORPHAN_WATCH = `
const parent = process.ppid;
setInterval(() => { if (process.ppid !== parent) process.kill(process.pid, 'SIGKILL'); }, 1000);`;

/**
 * The body of a consumer's process: one task at a time, each told by a message. A handler that exits, eats its memory or
 * never returns takes nothing with it: the host replaces the process, and PostgreSQL rolls the open transaction back.
 */
export function serveConsumer(consumers: readonly Consumer[]): void {
  const report = (message: Report): void => {
    process.send?.(message);
  };
  const progress = (): void => report({ kind: 'progress' });
  let tasks: Tasks | undefined;
  let telemetry: Telemetry | undefined;
  process.on('message', async (message: ProcessData | Task) => {
    try {
      if (!('kind' in message)) {
        telemetry = Telemetry.start(message.telemetry);
        tasks = open(consumers, message);
      } else if (!tasks) throw new Error('a task came before its consumer was named');
      else report(await tasks.perform(message, progress));
    } catch (error) {
      report({ kind: 'failed', error: describe(error) });
    }
  });
  // The host decides when to end: a Ctrl-C reaches the whole process group.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined);
  process.on('disconnect', async () => {
    await Deadline.after(SEND_MS)
      .race(telemetry?.shutdown() ?? Promise.resolve())
      .catch(() => undefined);
    process.exit(0);
  });
  new Worker(ORPHAN_WATCH, { eval: true }).unref();
}

function open(consumers: readonly Consumer[], data: ProcessData): Tasks {
  const { consumer: name, claimant, databaseUrl, connectTimeoutMs, applier: options } = data;
  const consumer = consumers.find((one) => one.name === name);
  if (!consumer) throw new Error(`there is no consumer ${name}`);
  const database = new Database(databaseUrl, {
    poolSize: POOL_SIZE,
    connectTimeoutMs,
    applicationName: `counterfoil-${name}`,
  });
  return new Tasks(database, consumer, claimant, options);
}
