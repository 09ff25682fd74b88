import type { ProblemCode } from '#kernel/problem.js';

/**
 * `settled`: the day has settlements; `empty`: it is settled, and nothing was in it; `not_due`: it is not over where the merchant is, or
 * lies before its first day (then with a problem that says so).
 */
export type SettleOutcome = 'settled' | 'empty' | 'not_due' | 'failed';

export interface SettleResult {
  readonly merchantId: bigint;
  readonly outcome: SettleOutcome;
  readonly problem?: SettleProblem;
}

export interface SettleProblem {
  readonly code: ProblemCode;
  readonly detail: string;
}
