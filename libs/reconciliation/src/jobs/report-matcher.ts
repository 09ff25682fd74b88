import type { Span } from '@opentelemetry/api';
import { MerchantLog } from '#outbox/log/append.js';
import type { Deadline } from '#platform/deadline.js';
import { step } from '#platform/tracing.js';
import { closeReport } from '../closing/close-report.js';
import { INTERNAL } from '../internal/found.js';
import type { InternalCheck } from '../internal/internal-check.js';
import { type Matching, matchNext } from '../matching/match-report.js';
import type { ReportInWork, ReportKey } from '../reports/report.js';
import { completeReport, countFailure, type NextReport, nextReport, reportInWork } from './work-store.js';

/** Of what an error says. */
const REASON_CHARACTERS = 500;

export interface MatcherOptions {
  readonly stepDeadline: () => Deadline;
  /** Whether this process is to stop: between two transactions. */
  readonly isStopping: () => boolean;
  /** Chunks of one turn. Without it a report is matched to its end. */
  readonly turnChunks?: number;
  /** Without it reports of our own checks are left to others. */
  readonly internal?: InternalCheck;
}

/** What came of a turn. `more`: the report goes on with the next one; `left`: for another worker, or another had completed it. */
export type TurnOutcome = 'completed' | 'more' | 'left';

/**
 * Matches a report chunk by chunk. Whatever dies in between leaves the rest of it staged, and whoever comes next goes on there; two who do
 * it at once take turns.
 */
export class ReportMatcher {
  /** Rows that were taken from staging here. */
  rows = 0;

  constructor(
    private readonly matching: Matching,
    private readonly options: MatcherOptions,
  ) {}

  /** Of this merchant. */
  next(merchantId: bigint): Promise<NextReport | undefined> {
    return nextReport(this.matching.database, merchantId, this.options.stepDeadline());
  }

  /** One turn of a report. Its spans are below `within`. */
  async match(key: ReportKey, within?: Span): Promise<TurnOutcome> {
    const report = await reportInWork(this.matching.database, key, 'matching', this.#deadline(within));
    if (!report) return 'left';
    const outcome =
      report.source === INTERNAL ? await this.#check(report, within) : await this.#matchRows(report, within);
    return outcome === 'completed' && !(await this.#complete(report, within)) ? 'left' : outcome;
  }

  /** Counts a try that failed. Returns whether it was the last one of so many. */
  failed(key: ReportKey, error: unknown, tries: number): Promise<boolean> {
    const last = (error instanceof Error ? error.message : String(error)).slice(0, REASON_CHARACTERS);
    const why = `It could not be matched in ${tries} tries (RECONCILIATION_TRIES). What was matched by then stays; POST /v1/reconciliations/${key.id}/retry goes on. The last time: ${last}`;
    return countFailure(this.matching.database, key, { tries, why }, this.options.stepDeadline());
  }

  async #check(report: ReportInWork, within: Span | undefined): Promise<TurnOutcome> {
    await this.options.internal?.run(report, within);
    return this.options.internal === undefined ? 'left' : 'completed';
  }

  async #matchRows(report: ReportInWork, within: Span | undefined): Promise<TurnOutcome> {
    const { isStopping, turnChunks = Number.POSITIVE_INFINITY } = this.options;
    const { matching } = this;
    for (let rows = 1, chunks = 0; rows > 0; this.rows += rows, chunks += 1) {
      if (isStopping() || chunks >= turnChunks) return 'more';
      rows = await step(within, 'match chunk', {}, (span) => matchNext(matching, report, () => this.#deadline(span)));
    }
    await step(within, 'close report', {}, (span) => closeReport(matching, report, () => this.#deadline(span)));
    return 'completed';
  }

  #complete(report: ReportInWork, within: Span | undefined): Promise<boolean> {
    const { merchantId, id, traceContext } = report;
    const scope = { merchantIds: [merchantId] };
    return this.matching.database.transaction(scope, this.#deadline(within), async (client) => {
      const log = await MerchantLog.lock(client, merchantId);
      const completed = await completeReport(client, report);
      if (!completed) return false;
      const { source, rows, rowsBad, repeated, matched, expected, breaksOpen, completedAtMs } = completed;
      const data = {
        reconciliation_id: String(id),
        source,
        rows: Number(rows),
        rows_bad: Number(rowsBad),
        repeated: Number(repeated),
        matched: Number(matched),
        expected: Number(expected),
        breaks_open: breaksOpen,
      };
      await log.append({ type: 'reconciliation.completed', occurredAtMs: completedAtMs, traceContext, data });
      return true;
    });
  }

  #deadline(within: Span | undefined): Deadline {
    return this.options.stepDeadline().under(within);
  }
}
