import { isDeepStrictEqual } from 'node:util';
import type { Addition, PaymentTurn } from './addition.js';
import type { KnownPayment } from './known-payment.js';
import { setTimers } from './timers/timers.js';

/** Makes a state the one that later commands of the group see, and that commits with its timers. */
export function learn(
  { known, subject, options }: Pick<Addition, 'known' | 'subject' | 'options'>,
  next: KnownPayment,
  turn: PaymentTurn,
): KnownPayment {
  const { row } = next;
  if (row && !isDeepStrictEqual(row, known.row)) {
    turn.write({ table: 'payments', isNew: known.row === undefined, row });
  }
  turn.learn(subject, next);
  setTimers([known, next], options, turn);
  return next;
}
