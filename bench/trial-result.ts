export interface TrialResult {
  /** Transactions, not requests. */
  perSecond: number;
  /** Milliseconds a request; NaN where they were not measured. */
  p50: number;
  p99: number;
  p999: number;
  /** CPU microseconds a transaction; undefined where it could not be told. */
  /** Calls to Redis a transaction, and the commands that its scripts ran for them. */
  redis?: { calls: number; commands: number };
  /** Balances read from PostgreSQL: a transaction; of `cold key` in all. */
  databaseReads?: number;
  cpu?: { apiUs: number | undefined; postgresUs: number | undefined; generatorUs: number };
}
