import type { Span } from '@opentelemetry/api';
import type { Job, Worker } from 'bullmq';
import { problemDocument } from '#kernel/problem.js';
import { Deadline } from '#platform/deadline.js';
import { Histogram, LATE_SECONDS } from '#platform/histogram.js';
import type { JobPlan, JobRuns } from '#platform/job-runs.js';
import type { Logger } from '#platform/logging.js';
import type { Database } from '#platform/postgres.js';
import type { Queues } from '#platform/queues.js';
import { boundsIn } from '#platform/request-context.js';
import { inSpan, startApart } from '#platform/tracing.js';
import { untiring } from '#platform/untiring-jobs.js';
import type { SettleResult, Settler } from '../settler.js';
import { NIGHT_QUEUE } from './names.js';
import { LOOK, type NightJob, RANGES_LINKED } from './night-queue.js';
import { beginRange, completeRange, countsOf, type Range } from './range-store.js';

/** When what was away is back, no range waits for longer than this. */
const BACKOFF = { firstMs: 500, longestMs: 10_000 };
const STATEMENT_DEADLINE_MS = 5_000;

export interface NightOptions {
  everyMs: number;
  concurrency: number;
  jobLockMs: number;
  rangeTimeoutMs: number;
}

export interface NightParts {
  database: Database;
  settler: Settler;
  jobs: JobRuns;
  logger: Logger;
  /** Makes runs of what is due, and jobs of what waits. */
  look: (deadline: Deadline) => Promise<void>;
}

/** Takes the night's jobs. A range may be worked on twice, by one that slept past its lock: what comes of it is written down once. */
export class NightWorker {
  readonly #parts: NightParts;
  readonly #options: NightOptions;
  readonly #look: JobPlan;
  #worker: Worker<NightJob> | undefined;
  readonly ranges = { completed: 0, failed: 0, superseded: 0 };
  readonly merchants = { settled: 0, empty: 0, not_due: 0, failed: 0 };
  readonly runs = { completed: 0, failed: 0 };
  /** Of ranges, failed ones included. */
  readonly durations = new Histogram(LATE_SECONDS);

  constructor(parts: NightParts, options: NightOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#look = { name: LOOK, kind: 'scheduler', everyMs: options.everyMs };
  }

  start(queues: Queues): void {
    const { concurrency, jobLockMs } = this.#options;
    this.#parts.jobs.planned(this.#look);
    this.#worker = queues.worker<NightJob>(NIGHT_QUEUE, (job, _token, span) => this.#run(job, span), {
      ...untiring(BACKOFF),
      concurrency,
      lockDuration: jobLockMs,
      stalledInterval: jobLockMs,
    });
  }

  #run({ data }: Job<NightJob>, span: Span): Promise<void> {
    return 'range' in data ? this.#settle({ runId: BigInt(data.run_id), range: data.range }, span) : this.#lookAround();
  }

  async #lookAround(): Promise<void> {
    const { jobs, look } = this.#parts;
    jobs.began(this.#look);
    try {
      await look(Deadline.after(this.#options.rangeTimeoutMs));
      jobs.ended(this.#look);
    } catch (error) {
      jobs.failed(this.#look, error);
      throw error;
    }
  }

  async #settle(named: Pick<Range, 'runId' | 'range'>, job: Span): Promise<void> {
    const { database, logger } = this.#parts;
    const startedMs = performance.now();
    try {
      const range = await beginRange(database, named, Deadline.after(STATEMENT_DEADLINE_MS).under(job));
      if (range) await this.#complete(range, job);
      else this.ranges.superseded += 1;
    } catch (error) {
      this.ranges.failed += 1;
      logger.warn({ err: error, run_id: String(named.runId), range: named.range }, 'a range could not be settled');
      throw error;
    } finally {
      this.durations.observe((performance.now() - startedMs) / 1_000);
    }
  }

  /** In a trace of its own, linked to the job, or where that is not traced, to the run. */
  async #complete(range: Range, job: Span): Promise<void> {
    const { database, settler } = this.#parts;
    const { runId, businessDate, merchantIds, traceContext } = range;
    const attributes = {
      'counterfoil.settlement_run_id': String(runId),
      'counterfoil.range': range.range,
      'counterfoil.business_date': businessDate,
      'counterfoil.merchants': merchantIds.length,
    };
    const origin = job.isRecording() ? job : (traceContext ?? undefined);
    const span = startApart(origin, 'settle range', { attributes }, { follows: range.range < RANGES_LINKED });
    await inSpan(span, async () => {
      const bounds = boundsIn(span, Deadline.after(this.#options.rangeTimeoutMs));
      const results = await settler.settle(merchantIds, businessDate, bounds);
      const counts = countsOf(results);
      const unsettled = results.filter(({ outcome }) => outcome === 'failed' || outcome === 'not_due');
      const outcome = { counts, errors: errorsOf(range, unsettled), unsettled };
      const status = await completeRange(database, range, outcome, Deadline.after(STATEMENT_DEADLINE_MS).under(span));
      span.setAttributes(Object.fromEntries(Object.entries(counts).map(([of, count]) => [`counterfoil.${of}`, count])));
      this.#count(status, counts);
    });
  }

  #count(status: Awaited<ReturnType<typeof completeRange>>, counts: ReturnType<typeof countsOf>): void {
    if (status === undefined) {
      this.ranges.superseded += 1;
      return;
    }
    this.ranges.completed += 1;
    for (const outcome of Object.keys(this.merchants) as (keyof typeof counts)[]) {
      this.merchants[outcome] += counts[outcome];
    }
    if (status === 'completed' || status === 'failed') this.runs[status] += 1;
  }
}

/** JSON. Of all merchants, those whom there was not yet on the day are no error. */
function errorsOf({ named }: Range, unsettled: readonly SettleResult[]): string | undefined {
  const errors = unsettled.flatMap(({ merchantId, outcome, problem }) =>
    problem && (named || outcome === 'failed')
      ? [{ merchant_id: String(merchantId), problem: problemDocument(problem) }]
      : [],
  );
  return errors.length === 0 ? undefined : JSON.stringify(errors);
}
