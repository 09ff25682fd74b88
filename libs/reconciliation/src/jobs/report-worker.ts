import type { Span } from '@opentelemetry/api';
import { DelayedError, type Job, type Worker } from 'bullmq';
import { Histogram, LATE_SECONDS } from '#platform/histogram.js';
import type { Logger } from '#platform/logging.js';
import type { Queues } from '#platform/queues.js';
import { inSpan, startIn } from '#platform/tracing.js';
import { untiring } from '#platform/untiring-jobs.js';
import type { ReportKey } from '../reports/report.js';
import { RECONCILIATION_QUEUE } from './names.js';
import type { ReportMatcher, TurnOutcome } from './report-matcher.js';
import type { ReportJob, ReportQueue } from './report-queue.js';
import type { NextReport } from './work-store.js';

/** When what was away is back, no report waits for longer than this. */
const BACKOFF = { firstMs: 500, longestMs: 10_000 };

export interface ReportWorkerOptions {
  readonly concurrency: number;
  readonly jobLockMs: number;
  /** Of one report, that fail; then it has failed. */
  readonly tries: number;
}

/** Takes merchants' reports that wait to be matched, a turn of each merchant at a time. One may be worked on twice, by one that slept past its lock: what comes of it is written once. */
export class ReportWorker {
  #worker: Worker<ReportJob> | undefined;
  readonly turns = { completed: 0, more: 0, left: 0, failed: 0, given_up: 0 };
  /** Of turns of reports, failed ones included. */
  readonly durations = new Histogram(LATE_SECONDS);

  constructor(
    private readonly matcher: ReportMatcher,
    private readonly queue: ReportQueue,
    private readonly logger: Logger,
    private readonly options: ReportWorkerOptions,
  ) {}

  start(queues: Queues): void {
    const { concurrency, jobLockMs } = this.options;
    this.#worker = queues.worker<ReportJob>(RECONCILIATION_QUEUE, (...taken) => this.#run(...taken), {
      ...untiring(BACKOFF),
      concurrency,
      lockDuration: jobLockMs,
      stalledInterval: jobLockMs,
    });
    this.#worker.on('completed', ({ data }) => {
      // Until somebody looks at everything.
      this.#lookBehind(BigInt(data.merchant_id)).catch(() => undefined);
    });
  }

  /** What cannot be counted now, as PostgreSQL is away, was no try. */
  async #isGivenUp(key: ReportKey, error: unknown): Promise<boolean> {
    const about = { err: error, merchant_id: String(key.merchantId), reconciliation_id: String(key.id) };
    const isLast = await this.matcher.failed(key, error, this.options.tries).catch(() => false);
    this.turns[isLast ? 'given_up' : 'failed'] += 1;
    if (isLast) this.logger.error(about, 'a report has failed: it could not be matched, and is not tried again');
    else this.logger.warn(about, 'a report could not be matched');
    return isLast;
  }

  /** One turn of a merchant. Where it has more, its job waits behind the others'. */
  async #run(job: Job<ReportJob>, token: string | undefined, span: Span): Promise<void> {
    const merchantId = BigInt(job.data.merchant_id);
    const report = await this.matcher.next(merchantId);
    if (!report) return;
    const outcome = await this.#match(report, span);
    const rest = await this.matcher.next(merchantId);
    if (!rest || (outcome === 'left' && rest.id === report.id)) return;
    await job.moveToDelayed(Date.now(), token);
    throw new DelayedError();
  }

  /** In a span of the upload's trace. */
  async #match({ traceContext, ...key }: NextReport, job: Span): Promise<TurnOutcome | 'given_up'> {
    const attributes = {
      'counterfoil.merchant_id': String(key.merchantId),
      'counterfoil.reconciliation_id': String(key.id),
    };
    const span = startIn(traceContext ?? undefined, job, 'match report', { attributes });
    const startedMs = performance.now();
    try {
      const outcome = await inSpan(span, () => this.matcher.match(key, span));
      this.turns[outcome] += 1;
      return outcome;
    } catch (error) {
      if (await this.#isGivenUp(key, error)) return 'given_up';
      throw error;
    } finally {
      this.durations.observe((performance.now() - startedMs) / 1_000, traceContext);
    }
  }

  /** What was received between the end of its merchant's last turn and that of the job found the job still there. */
  async #lookBehind(merchantId: bigint): Promise<void> {
    if (await this.matcher.next(merchantId)) this.queue.addSoon(merchantId);
  }
}
