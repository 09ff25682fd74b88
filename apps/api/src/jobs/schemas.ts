import { z } from 'zod';
import { isoTime } from '#kernel/clock.js';
import type { DueBacklog } from '#platform/due-backlogs.js';
import type { Job, Jobs } from '#platform/job.queries.js';
import type { QueueState } from '../queue-views.js';
import { timestampOut } from '../schemas.js';

const job = z
  .looseObject({
    name: z.string().meta({ examples: ['expire holds'] }),
    kind: z.enum(['duty', 'scheduler']).meta({
      description: '`duty`: each worker does it; `scheduler`: BullMQ has one worker do it for all.',
    }),
    status: z.enum(['waiting', 'running', 'failing', 'late']).meta({
      description:
        '`failing`: the last round failed, and the next one comes as usual; `late`: no round began when one should have, or the one in hand does not end.',
    }),
    every_ms: z.int().meta({ description: 'At least so often; sooner where the round before knows of something.' }),
    last_started_at: timestampOut.nullable(),
    last_finished_at: timestampOut.nullable(),
    next_at: timestampOut.nullable().meta({ description: 'As the worker that ran last has it.' }),
    lag_ms: z.int().meta({ description: 'How long it is late. 0 of what is not.' }),
    runs: z.int(),
    failures: z.int(),
    last_failed_at: timestampOut.nullable(),
    last_error: z.string().nullable(),
  })
  .meta({ id: 'Job' });

const timer = z
  .looseObject({
    kind: z.string().meta({ examples: ['hold expiry'] }),
    overdue: z.int().meta({ description: 'Whose time has come and that are not done; at most 10000 are counted.' }),
    failing: z.int().meta({ description: 'Of these, and of what comes within ten minutes: whose last try failed.' }),
    lag_ms: z.int().meta({ description: 'How long ago the time of the oldest of them came.' }),
    next_at: timestampOut.meta({ description: 'When the next one is tried.' }),
  })
  .meta({ id: 'Timer' });

const queue = z
  .looseObject({
    name: z.string(),
    waiting: z.int(),
    active: z.int(),
    delayed: z.int(),
    failed: z.int(),
    schedulers: z.array(
      z.looseObject({ name: z.string(), every_ms: z.int().nullable(), next_at: timestampOut.nullable() }),
    ),
  })
  .meta({ id: 'Queue' });

export const jobList = z
  .looseObject({
    data: z.array(job).meta({ description: 'By name. Noted down every 5 seconds.' }),
    timers: z.array(timer).meta({ description: 'What is due at times of its own, by kind.' }),
    queues: z.array(queue).nullable().meta({ description: 'Null: their Redis is away, or there is none.' }),
  })
  .meta({ id: 'JobList' });

export function jobListBody({ jobs, timers }: Jobs, queues: readonly QueueState[] | undefined) {
  return {
    data: jobs.map(jobBody),
    timers: timers.map(timerBody),
    queues: queues?.map(queueBody) ?? null,
  };
}

function jobBody(record: Job) {
  return {
    name: record.name,
    kind: record.kind,
    status: record.status,
    every_ms: record.everyMs,
    last_started_at: timeOut(record.lastStartedAtMs),
    last_finished_at: timeOut(record.lastFinishedAtMs),
    next_at: timeOut(record.nextAtMs),
    lag_ms: record.lagMs,
    runs: Number(record.runs),
    failures: Number(record.failures),
    last_failed_at: timeOut(record.lastFailedAtMs),
    last_error: record.lastError,
  };
}

function timerBody({ kind, overdue, failing, lagMs, nextAtMs }: DueBacklog) {
  return { kind, overdue, failing, lag_ms: Math.round(lagMs), next_at: isoTime(nextAtMs) };
}

function queueBody({ name, counts, schedulers }: QueueState) {
  const shown = schedulers.map((one) => ({
    name: one.name,
    every_ms: one.everyMs ?? null,
    next_at: timeOut(one.nextMs ?? null),
  }));
  return { name, ...counts, schedulers: shown };
}

function timeOut(ms: number | null): string | null {
  return ms === null ? null : isoTime(ms);
}
