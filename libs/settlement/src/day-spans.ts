import type { Span } from '@opentelemetry/api';
import { ATTRIBUTE } from '#platform/span-names.js';
import { startApart } from '#platform/tracing.js';
import type { Step } from './next-step.js';

/** Days of merchants that the span of their range leads to, and that are sent where it is. Of others the ratio has some sent. */
export const DAYS_LINKED = 100;

/**
 * The spans in which days of merchants are closed. Each begins a trace, which all that follows from the day is in: what a night does for a
 * merchant is a trace of a merchant's size, however many there are.
 */
export class DaySpans {
  readonly #range: Span;
  #linked = 0;

  constructor(range: Span) {
    this.#range = range;
  }

  start({ standing, day }: Step): Span {
    const follows = this.#linked < DAYS_LINKED;
    this.#linked += 1;
    const attributes = {
      [ATTRIBUTE.merchantId]: String(standing.merchantId),
      'counterfoil.business_date': day.day,
    };
    return startApart(this.#range, 'close day', { attributes }, { follows });
  }
}
