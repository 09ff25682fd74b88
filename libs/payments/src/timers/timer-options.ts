import type { PositionOptions } from '../position.js';

export interface TimerOptions extends PositionOptions {
  /** How long a fact waits for its cause. */
  readonly parkedMaxAgeMs: number;
  /** Ascending ages at which providers are asked; the last goes on as an interval. */
  readonly queryScheduleMs: readonly number[];
}
