import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { followersOf, ROOMS } from '../apps/rooms.js';
import { cpuOfServerMs } from './cpu.js';
import type { WorkerProcess } from './worker-process.js';

const POLL_MS = 20;
const LIMIT_MS = 3_600_000;
const REGISTER_WITHIN_MS = 30_000;

/** Transactions whose effect daily_summaries has: each has one debit here. */
const APPLIED = 'SELECT coalesce(sum(debit_count), 0)::int AS applied FROM daily_summaries';
/** Partitions whose newest event somebody has not applied, or not been handed, and merchants apart. Looks at the end of each partition alone. */
export const WAITING = `
SELECT count(*)::int + (SELECT count(*) FROM merchant_positions)::int AS waiting
  FROM relay_cursors c LEFT JOIN consumer_positions a USING (consumer, partition)
  CROSS JOIN LATERAL (SELECT xid, seq FROM events e WHERE e.partition = c.partition ORDER BY xid DESC, seq DESC LIMIT 1) newest
 WHERE (newest.xid, newest.seq) > (coalesce(a.xid, c.xid), coalesce(a.seq, c.seq))`;

const REGISTERED = followersOf(ROOMS).length;

/** Resolves when the worker has made all who follow the log known: from then on it can be told what they lack. */
export async function untilRegistered(owner: pg.Client): Promise<void> {
  const end = performance.now() + REGISTER_WITHIN_MS;
  for (;;) {
    const { rows } = await owner.query('SELECT count(DISTINCT consumer)::int AS known FROM relay_cursors');
    if (rows[0].known === REGISTERED) return;
    if (performance.now() > end) throw new Error(`${rows[0].known} who follow the log are known, not ${REGISTERED}`);
    await sleep(POLL_MS);
  }
}

export interface Drained {
  events: number;
  seconds: number;
  perSecond: number;
  /** CPU microseconds an event. */
  cpu: { workerUs: number; consumersUs: number; postgresUs: number };
}

/**
 * From the first effect until every consumer has the whole log. `current`: the worker at that moment; CPU is that of one
 * worker all the while.
 */
export async function drain(
  owner: pg.Client,
  postmasterPid: number | undefined,
  current: () => WorkerProcess,
): Promise<Drained> {
  const applied = async (): Promise<number> => (await owner.query<{ applied: number }>(APPLIED)).rows[0]?.applied ?? 0;
  const waiting = async (): Promise<number> => (await owner.query<{ waiting: number }>(WAITING)).rows[0]?.waiting ?? 0;
  const cpu = () => ({
    ...current().cpuMs(),
    postgres: postmasterPid === undefined ? Number.NaN : (cpuOfServerMs(postmasterPid) ?? Number.NaN),
  });
  const end = performance.now() + LIMIT_MS;
  const before = await applied();
  let first = before;
  while (first === before && (await waiting()) > 0) {
    await sleep(POLL_MS);
    first = await applied();
  }
  const startedAt = performance.now();
  const cpuBefore = cpu();
  while ((await waiting()) > 0) {
    if (performance.now() > end) throw new Error('the log was not drained');
    await sleep(POLL_MS);
  }
  const seconds = (performance.now() - startedAt) / 1_000;
  const cpuAfter = cpu();
  const events = (await applied()) - first;
  const each = (of: 'worker' | 'consumers' | 'postgres'): number => ((cpuAfter[of] - cpuBefore[of]) * 1_000) / events;
  return {
    events,
    seconds,
    perSecond: events / seconds,
    cpu: { workerUs: each('worker'), consumersUs: each('consumers'), postgresUs: each('postgres') },
  };
}
