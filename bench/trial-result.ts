import { percentile } from '#db/bench/text-table.js';

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
  cpu?: {
    apiUs: number | undefined;
    postgresUs: number | undefined;
    generatorUs: number;
    /** Of the worker, and of its consumers' processes. */
    relayUs?: number;
    consumersUs?: number;
  };
  /** Of a worker that has nothing to do. */
  idle?: Idle;
}

export interface Idle {
  /** Of one core, consumers included. */
  cpuPercent: number;
  /** Transactions of PostgreSQL a second. */
  transactions: number;
  /** Commands of both Redis roles a second. */
  commands: number;
}

export interface Times {
  warmUpMs: number;
  measureMs: number;
}

/**
 * What `callers` see that each call again as soon as they are answered; at least one call is measured, however slow it is.
 * `call` answers false when it is not to be counted. What `prepare` does before each call takes none of its time.
 */
export async function measure(
  { warmUpMs, measureMs }: Times,
  callers: number,
  call: () => Promise<boolean>,
  prepare?: () => Promise<void>,
): Promise<TrialResult> {
  const latenciesMs: number[] = [];
  const warmUntil = performance.now() + warmUpMs;
  const until = warmUntil + measureMs;
  const caller = async (): Promise<void> => {
    for (let now = performance.now(); now < until || latenciesMs.length === 0; now = performance.now()) {
      if (prepare) {
        await prepare();
        now = performance.now();
      }
      if ((await call()) && now >= warmUntil) latenciesMs.push(performance.now() - now);
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return {
    perSecond: (callers * 1_000 * latenciesMs.length) / latenciesMs.reduce((sum, ms) => sum + ms, 0),
    p50: percentile(latenciesMs, 0.5),
    p99: percentile(latenciesMs, 0.99),
    p999: percentile(latenciesMs, 0.999),
  };
}
