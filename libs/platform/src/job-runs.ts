import { Deadline } from './deadline.js';
import { errorText } from './due-work.js';
import { Histogram, LATE_SECONDS } from './histogram.js';
import type { Metrics } from './metrics.js';
import type { Database } from './postgres.js';

/** What runs again and again by itself. `scheduler`: BullMQ says when, and one worker does it for all. */
export interface JobPlan {
  readonly name: string;
  readonly kind: 'duty' | 'scheduler';
  readonly everyMs: number;
}

/** What is not noted down yet; times are of this process's monotonic clock. */
interface Noted {
  plan: JobPlan;
  startedMs: number | undefined;
  finishedMs: number | undefined;
  failedMs: number | undefined;
  error: string | undefined;
  nextMs: number | undefined;
  runs: number;
  failures: number;
}

/** What this process tells of a job's rounds. */
interface Done {
  readonly durations: Histogram;
  failures: number;
  /** When the one in hand, or the last one, began. */
  beganMs: number;
}

const DEADLINE_MS = 5_000;

/**
 * Times come as milliseconds from now, so that PostgreSQL's clock counts, and no other process's. A row is written by all who do the
 * job: what happened last stands, and what was counted is added. What nobody has noted for a day is no job of any build that runs.
 */
const NOTE = `
WITH forgotten AS (
  DELETE FROM job_runs WHERE name <> ALL ($1) AND noted_at < now() - interval '1 day' - every_ms * interval '1 ms')
INSERT INTO job_runs AS j (name, kind, every_ms, last_started_at, last_finished_at, next_at, runs, failures, last_failed_at, last_error)
SELECT name, kind, every_ms, now() + started * interval '1 ms', now() + finished * interval '1 ms', now() + next * interval '1 ms',
       runs, failures, now() + failed * interval '1 ms', error
  FROM unnest($1::text[], $2::text[], $3::bigint[], $4::float8[], $5::float8[], $6::float8[], $7::bigint[], $8::bigint[], $9::float8[],
              $10::text[]) AS u (name, kind, every_ms, started, finished, next, runs, failures, failed, error)
ON CONFLICT (name) DO UPDATE SET
  every_ms = excluded.every_ms, last_started_at = greatest(j.last_started_at, excluded.last_started_at),
  last_finished_at = greatest(j.last_finished_at, excluded.last_finished_at), next_at = coalesce(excluded.next_at, j.next_at),
  runs = j.runs + excluded.runs, failures = j.failures + excluded.failures,
  last_failed_at = greatest(j.last_failed_at, excluded.last_failed_at), last_error = coalesce(excluded.last_error, j.last_error),
  noted_at = now()`;

/** What the jobs of this process come to, noted down in PostgreSQL when `note` is called. No job waits for that, or fails with it. */
export class JobRuns {
  readonly #database: Database;
  /** Since the process began. */
  readonly #done = new Map<string, Done>();
  #noted = new Map<string, Noted>();

  constructor(database: Database) {
    this.#database = database;
  }

  /** Is to be done, in `nextInMs` where that is known. */
  planned(plan: JobPlan, nextInMs?: number): void {
    const noted = this.#of(plan);
    if (nextInMs !== undefined) noted.nextMs = performance.now() + nextInMs;
  }

  began(plan: JobPlan): void {
    const nowMs = performance.now();
    this.#of(plan).startedMs = nowMs;
    this.#doneOf(plan).beganMs = nowMs;
  }

  ended(plan: JobPlan): void {
    const noted = this.#of(plan);
    noted.finishedMs = performance.now();
    noted.runs += 1;
    const { durations, beganMs } = this.#doneOf(plan);
    durations.observe((noted.finishedMs - beganMs) / 1_000);
  }

  failed(plan: JobPlan, error: unknown): void {
    this.ended(plan);
    const noted = this.#of(plan);
    noted.failedMs = noted.finishedMs;
    noted.failures += 1;
    this.#doneOf(plan).failures += 1;
    noted.error = errorText(error);
  }

  /** BringsMetrics, which knows duties, and so this. */
  addMetrics(metrics: Metrics): void {
    const done = <T>(read: (one: Done) => T) => [...this.#done].map(([name, one]) => [{ name }, read(one)] as const);
    metrics.histogram(
      'counterfoil_job_seconds',
      'How long rounds of duties and schedulers took, failed ones included.',
      () => done(({ durations }) => durations),
    );
    metrics.counter('counterfoil_job_failures_total', 'Those that failed.', () => done(({ failures }) => failures));
  }

  /** Writes down what came since the last time. When that fails, the next time does. */
  async note(): Promise<void> {
    // In one order: two workers' statements would lock each other's rows otherwise.
    const noted = [...this.#noted.values()].sort((one, other) => (one.plan.name < other.plan.name ? -1 : 1));
    if (noted.length === 0) return;
    this.#noted = new Map();
    try {
      await this.#database.write('platform', Deadline.after(DEADLINE_MS), { text: NOTE, values: columnsOf(noted) });
    } catch (error) {
      for (const one of noted) this.#putBack(one);
      throw error;
    }
  }

  #doneOf({ name }: JobPlan): Done {
    let done = this.#done.get(name);
    if (!done) {
      done = { durations: new Histogram(LATE_SECONDS), failures: 0, beganMs: performance.now() };
      this.#done.set(name, done);
    }
    return done;
  }

  #of(plan: JobPlan): Noted {
    let noted = this.#noted.get(plan.name);
    if (!noted) {
      const nothing = { startedMs: undefined, finishedMs: undefined, failedMs: undefined, error: undefined };
      noted = { plan, ...nothing, nextMs: undefined, runs: 0, failures: 0 };
      this.#noted.set(plan.name, noted);
    }
    return noted;
  }

  #putBack(before: Noted): void {
    const since = this.#of(before.plan);
    since.runs += before.runs;
    since.failures += before.failures;
    since.startedMs ??= before.startedMs;
    since.finishedMs ??= before.finishedMs;
    since.failedMs ??= before.failedMs;
    since.error ??= before.error;
    since.nextMs ??= before.nextMs;
  }
}

function columnsOf(noted: readonly Noted[]): unknown[] {
  const nowMs = performance.now();
  const fromNow = (atMs: number | undefined) => (atMs === undefined ? null : atMs - nowMs);
  return [
    noted.map(({ plan }) => plan.name),
    noted.map(({ plan }) => plan.kind),
    noted.map(({ plan }) => Math.ceil(plan.everyMs)),
    noted.map(({ startedMs }) => fromNow(startedMs)),
    noted.map(({ finishedMs }) => fromNow(finishedMs)),
    noted.map(({ nextMs }) => fromNow(nextMs)),
    noted.map(({ runs }) => runs),
    noted.map(({ failures }) => failures),
    noted.map(({ failedMs }) => fromNow(failedMs)),
    noted.map(({ error }) => error ?? null),
  ];
}
