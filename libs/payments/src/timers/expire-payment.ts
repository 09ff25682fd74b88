import { isoTime } from '#kernel/clock.js';
import { snowflakeTimeMs } from '#kernel/snowflake.js';
import type { Refused } from '#ledger/posting/command.js';
import { refuse } from '#ledger/posting/entries.js';
import type { Answer } from '#ledger/writing/group-extension.js';
import { addFacts } from '../add-facts.js';
import type { Addition, PaymentTurn } from '../addition.js';
import type { Fact } from '../facts.js';
import { expiryOf } from './timers.js';

/** One for each payment. */
const EXPIRY = 'request:expiry';

/**
 * Gives back what is held beyond its time, as a fact that happened then: whatever was captured before counts, whenever it is told.
 * Refused with `not_pending` when nothing is held any more, and with `invalid_transition` before its time.
 */
export function expire(asked: Omit<Addition, 'added' | 'attributes'>, turn: PaymentTurn): Answer | Refused {
  const expiresAtMs = expiryOf(asked.known);
  if (expiresAtMs === undefined) return refuse('not_pending', 'Nothing is held that expires.');
  const id = turn.nextId();
  if (snowflakeTimeMs(id) < expiresAtMs) return refuse('invalid_transition', `It expires at ${isoTime(expiresAtMs)}.`);
  const fact: Fact = {
    id: EXPIRY,
    source: 'request',
    type: 'expired',
    amountKind: 'delta',
    occurredAtMs: expiresAtMs,
  };
  const changed = addFacts({ ...asked, added: [{ id, eventId: EXPIRY, fact }], attributes: {} }, turn);
  return 'accepted' in changed ? changed : { status: 200, response: '{}' };
}
