/** A report that was uploaded, and what came of it. */

export type ReportStatus = 'receiving' | 'matching' | 'completed' | 'failed';

/** Which report; what is done with it is done in its merchant's scope. */
export interface ReportKey {
  readonly merchantId: bigint;
  readonly id: bigint;
}

/** What whoever matches it has to know of it. */
export interface ReportInWork extends ReportKey {
  readonly source: string;
  /** Whose references it has; undefined: any provider's. */
  readonly provider: string | undefined;
  readonly periodFromMs: number | undefined;
  readonly periodToMs: number | undefined;
  readonly slaDays: number;
  /** W3C traceparent of its upload. */
  readonly traceContext: string | undefined;
}

/** Of one currency, in minor units as decimal strings. */
export interface ReportTotals {
  readonly currency: string;
  readonly rows: number;
  readonly gross: string;
  readonly fee: string;
  readonly net: string;
  /** Net of the rows that are in a match. */
  readonly matched: string;
  readonly unmatched: string;
}

/** As it stands. */
export interface Report extends Omit<ReportInWork, 'merchantId' | 'provider'> {
  readonly status: ReportStatus;
  readonly failure: string | null;
  readonly askedBy: string | null;
  readonly createdAtMs: number;
  readonly completedAtMs: number | null;
  readonly rows: bigint;
  readonly rowsBad: bigint;
  readonly repeated: bigint;
  readonly matched: bigint;
  readonly expected: bigint;
  readonly totals: readonly ReportTotals[];
  /** Open breaks by kind. */
  readonly breaks: Readonly<Record<string, number>>;
}
