import type { Job, Worker } from 'bullmq';
import type { Logger } from '#platform/logging.js';
import type { Queues } from '#platform/queues.js';
import { contextOf, inSpan, remoteContext, spanTime, tracer } from '#platform/tracing.js';
import { untiring } from '#platform/untiring-jobs.js';
import type { ReportKey } from '../reports/report.js';
import { RECONCILIATION_QUEUE } from './names.js';
import type { ReportMatcher } from './report-matcher.js';
import { type ReportJob } from './report-queue.js';

/** When what was away is back, no report waits for longer than this. */
const BACKOFF = { firstMs: 500, longestMs: 10_000 };

export interface ReportWorkerOptions {
  readonly concurrency: number;
  readonly jobLockMs: number;
  /** Of one report, that fail; then it has failed. */
  readonly tries: number;
}

/** Takes reports that wait to be matched. One may be worked on twice, by one that slept past its lock: what comes of it is written once. */
export class ReportWorker {
  #worker: Worker<ReportJob> | undefined;
  readonly reports = { completed: 0, left: 0, failed: 0, given_up: 0 };
  /** Of turns of reports, failed ones included. */
  seconds = 0;

  constructor(
    private readonly matcher: ReportMatcher,
    private readonly logger: Logger,
    private readonly options: ReportWorkerOptions,
  ) {}

  start(queues: Queues): void {
    const { concurrency, jobLockMs } = this.options;
    this.#worker = queues.worker<ReportJob>(RECONCILIATION_QUEUE, (job) => this.#run(job), {
      ...untiring(BACKOFF),
      concurrency,
      lockDuration: jobLockMs,
      stalledInterval: jobLockMs,
    });
  }

  /** What cannot be counted now, as PostgreSQL is away, was no try. */
  async #isGivenUp(key: ReportKey, error: unknown): Promise<boolean> {
    const about = { err: error, merchant_id: String(key.merchantId), reconciliation_id: String(key.id) };
    const isLast = await this.matcher.failed(key, error, this.options.tries).catch(() => false);
    this.reports[isLast ? 'given_up' : 'failed'] += 1;
    if (isLast) this.logger.error(about, 'a report has failed: it could not be matched, and is not tried again');
    else this.logger.warn(about, 'a report could not be matched');
    return isLast;
  }

  /** In a span of the upload's trace. */
  async #run({ data, opts }: Job<ReportJob>): Promise<void> {
    const key = { merchantId: BigInt(data.merchant_id), id: BigInt(data.reconciliation_id) };
    const attributes = {
      'counterfoil.merchant_id': data.merchant_id,
      'counterfoil.reconciliation_id': data.reconciliation_id,
    };
    const upload = remoteContext(opts.telemetry?.metadata ?? '');
    const span = tracer.startSpan('match report', { startTime: spanTime(), attributes }, upload);
    const startedMs = performance.now();
    try {
      const isCompleted = await inSpan(span, () => this.matcher.match(key, contextOf(span)));
      this.reports[isCompleted ? 'completed' : 'left'] += 1;
    } catch (error) {
      if (await this.#isGivenUp(key, error)) return;
      throw error;
    } finally {
      this.seconds += (performance.now() - startedMs) / 1_000;
    }
  }
}
