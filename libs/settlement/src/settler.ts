import { Injectable } from '@nestjs/common';
import type { ProblemCode } from '#kernel/problem.js';
import type { RequestBounds } from '#platform/request-context.js';

/**
 * `settled`: the day has settlements; `empty`: it is settled, and nothing was in it; `not_due`: it is not over where the merchant is, or
 * lies before its first day (then with a problem that says so).
 */
export type SettleOutcome = 'settled' | 'empty' | 'not_due' | 'failed';

export interface SettleResult {
  readonly merchantId: bigint;
  readonly outcome: SettleOutcome;
  readonly problem?: { readonly code: ProblemCode; readonly detail: string };
}

/** Settles business days: of any number of merchants, again and again, in any number of processes at once. */
@Injectable()
export class Settler {
  /**
   * Settles the day of each merchant, and before it the days that were missed. One that cannot be settled fails alone. Throws when
   * the database is away or the deadline has passed: what was done by then stays, and the next try goes on from there.
   */
  settle(_merchantIds: readonly bigint[], _businessDate: string, _bounds: RequestBounds): Promise<SettleResult[]> {
    throw new Error('in the making');
  }
}
