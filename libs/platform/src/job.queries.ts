import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { type DueBacklog, readDueBacklogs } from './due-backlogs.js';
import { JITTER } from './duty.js';
import type { JobPlan } from './job-runs.js';
import { NOTE_INTERVAL_MS } from './job-runs.module.js';
import { Database } from './postgres.js';
import type { RequestBounds } from './request-context.js';

/** Beyond what is not noted down yet: a machine that is busy is not late. */
const GRACE_MS = 2 * NOTE_INTERVAL_MS;

/** `failing`: its last round did. `late`: it has not run when it should have, or its round does not end. */
export type JobStatus = 'waiting' | 'running' | 'failing' | 'late';

/** What runs by itself, and when it last did, in whichever worker. */
export interface Job extends JobPlan {
  status: JobStatus;
  lastStartedAtMs: number | null;
  lastFinishedAtMs: number | null;
  nextAtMs: number | null;
  /** How long it is late. */
  lagMs: number;
  runs: bigint;
  failures: bigint;
  lastFailedAtMs: number | null;
  lastError: string | null;
}

export interface Jobs {
  jobs: Job[];
  timers: DueBacklog[];
}

/** `over_ms`: since its next round should have begun, or the one in hand should have ended: its longest interval after all that is known. */
const JOBS = {
  name: 'list-jobs',
  text: `
SELECT name, kind, every_ms, last_started_at, last_finished_at, next_at, runs, failures, last_failed_at, last_error,
       coalesce(last_started_at > coalesce(last_finished_at, '-infinity'), false) AS running,
       (extract(epoch FROM now() - greatest(known_since, last_started_at, last_finished_at)) * 1000 - every_ms * ${1 + JITTER})::float8
         AS over_ms
  FROM job_runs ORDER BY name COLLATE "C"`,
};

interface JobRow extends Record<string, unknown> {
  name: string;
  kind: 'duty' | 'scheduler';
  every_ms: bigint;
  last_started_at: number | null;
  last_finished_at: number | null;
  next_at: number | null;
  runs: bigint;
  failures: bigint;
  last_failed_at: number | null;
  last_error: string | null;
  running: boolean;
  over_ms: number;
}

/** What the workers do by themselves: their jobs, and what is due of each kind of timers. */
export class ListJobsQuery extends Query<Jobs> {
  constructor(readonly context: RequestBounds) {
    super();
  }
}

@QueryHandler(ListJobsQuery)
export class ListJobsHandler implements IQueryHandler<ListJobsQuery> {
  constructor(private readonly database: Database) {}

  async execute({ context: { deadline } }: ListJobsQuery): Promise<Jobs> {
    const rows = await this.database.read<JobRow>('platform', deadline, JOBS);
    return { jobs: rows.map(jobOf), timers: await readDueBacklogs(this.database, deadline) };
  }
}

function jobOf(row: JobRow): Job {
  return {
    name: row.name,
    kind: row.kind,
    everyMs: Number(row.every_ms),
    status: statusOf(row),
    lastStartedAtMs: row.last_started_at,
    lastFinishedAtMs: row.last_finished_at,
    nextAtMs: row.next_at,
    lagMs: isLate(row) ? Math.round(row.over_ms) : 0,
    runs: row.runs,
    failures: row.failures,
    lastFailedAtMs: row.last_failed_at,
    lastError: row.last_error,
  };
}

function statusOf(row: JobRow): JobStatus {
  if (isLate(row)) return 'late';
  if (row.running) return 'running';
  return row.last_failed_at !== null && row.last_failed_at === row.last_finished_at ? 'failing' : 'waiting';
}

function isLate({ over_ms }: JobRow): boolean {
  return over_ms > GRACE_MS;
}
