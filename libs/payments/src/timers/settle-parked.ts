import { snowflakeTimeMs } from '#kernel/snowflake.js';
import type { Refused } from '#ledger/posting/command.js';
import { refuse } from '#ledger/posting/entries.js';
import type { Answer } from '#ledger/writing/group-extension.js';
import type { Addition, PaymentTurn } from '../addition.js';
import type { KnownPayment, StoredFact } from '../known-payment.js';
import { learn } from '../learn.js';
import type { SettleParked } from '../payment-part.js';
import { letterOf } from './parked-letters.js';
import { PARKED_FACT } from './timers.js';

type Asked = Omit<Addition, 'added' | 'attributes'>;

/**
 * What becomes of a fact that has waited for too long: a dead letter; then, as an operator decides, it waits for as long again, or
 * leaves the set for good. Refused with `not_pending` when it does not wait any more.
 */
export function settleParked(asked: Asked, ask: SettleParked, turn: PaymentTurn): Answer | Refused {
  const { known } = asked;
  const stored = [...known.facts.values()].find(({ row }) => row.id === String(ask.id));
  if (stored?.row.outcome !== 'parked') return refuse('not_pending', 'It does not wait any more.');
  turn.linkTo(stored.row.trace_context === null ? [] : [stored.row.trace_context]);
  if (ask.kind === 'discard') discard(asked, stored, ask, turn);
  else if (ask.kind === 'redrive') waitAgain(asked, stored, turn);
  else giveUp(known, stored, turn);
  return { status: 200, response: '{}' };
}

function giveUp({ row: payment }: KnownPayment, { row }: StoredFact, turn: PaymentTurn): void {
  const { subject, event_id, source, amount, currency, object_ref, occurred_at, more } = row;
  const error = payment
    ? `Payment ${payment.id} has no cause for it: less is captured than it takes back, or it does not say which object it means.`
    : `No payment ${subject} is known.`;
  const data = { subject, event_id, source, amount, currency, object_ref, occurred_at, ...more };
  const open = { ...letterOf(row), id: String(turn.nextId()), event_type: `payment.${row.type}`, error, data };
  turn.write({ table: 'dead_letters', open });
  turn.setTimer(PARKED_FACT, BigInt(row.id), undefined);
}

const BY_US = { decided_by: 'counterfoil', reason: 'An operator decided so.' };

function waitAgain({ options }: Asked, { row }: StoredFact, turn: PaymentTurn): void {
  const nowMs = snowflakeTimeMs(turn.nextId());
  turn.setTimer(PARKED_FACT, BigInt(row.id), nowMs + options.parkedMaxAgeMs);
  turn.write({ table: 'dead_letters', settle: { ...letterOf(row), status: 'redriven', ...BY_US } });
}

/** A fact that waits counts for nothing, so that the position is the same without it. */
function discard(
  asked: Asked,
  { fact, row }: StoredFact,
  { by, reason }: Extract<SettleParked, { kind: 'discard' }>,
  turn: PaymentTurn,
): void {
  const discarded = { ...row, outcome: 'discarded', reason: `Discarded by ${by}: ${reason}` } as const;
  turn.write({ table: 'payment_facts', isNew: false, row: discarded });
  turn.write({ table: 'dead_letters', settle: { ...letterOf(row), status: 'discarded', ...BY_US } });
  const facts = new Map(asked.known.facts).set(row.fact_id, { fact, row: discarded });
  learn(asked, asked.known.next(asked.known.row, facts), turn);
}
