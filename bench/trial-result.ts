import { percentile } from '#db/bench/text-table.js';

export interface TrialResult {
  /** Transactions, not requests. */
  perSecond: number;
  /** Milliseconds a request; NaN where they were not measured. */
  p50: number;
  p99: number;
  p999: number;
  /** CPU microseconds a transaction; undefined where it could not be told. */
  cpu?: { apiUs: number | undefined; postgresUs: number | undefined; generatorUs: number };
}

/** Of `callers` that each called again as soon as they were answered. */
export function resultOf(latenciesMs: readonly number[], callers: number): TrialResult {
  return {
    perSecond: (callers * 1_000 * latenciesMs.length) / latenciesMs.reduce((sum, ms) => sum + ms, 0),
    p50: percentile(latenciesMs, 0.5),
    p99: percentile(latenciesMs, 0.99),
    p999: percentile(latenciesMs, 0.999),
  };
}
