import type { StoredFact } from './known-payment.js';
import type { PaymentParts, PaymentRow } from './payment-rows.js';
import type { MovementState, Position } from './position.js';

type Shown = Pick<
  PaymentRow,
  | 'status'
  | 'currency'
  | 'amount'
  | 'amount_authorised'
  | 'amount_capturable'
  | 'amount_captured'
  | 'amount_refunded'
  | 'amount_disputed'
  | 'amount_settled'
  | 'parts'
>;

/** What of a payment follows from its facts, as its row has it. */
export function shownOf(standing: Position, facts: ReadonlyMap<string, StoredFact>): Shown {
  if (!standing.exists) throw new Error('there is no payment to show');
  return {
    status: standing.status,
    currency: standing.currency,
    amount: String(standing.amount),
    amount_authorised: String(standing.amountAuthorised),
    amount_capturable: String(standing.amountCapturable),
    amount_captured: String(standing.amountCaptured),
    amount_refunded: String(standing.amountRefunded),
    amount_disputed: String(standing.amountDisputed),
    amount_settled: String(standing.amountSettled),
    parts: partsOf(standing, facts),
  };
}

function partsOf(standing: Position, facts: ReadonlyMap<string, StoredFact>): PaymentParts {
  return {
    captures: standing.captures.map(movementBody),
    refunds: standing.refunds.map(movementBody),
    disputes: standing.disputes.map((dispute) => ({
      object_ref: dispute.objectRef,
      amount: String(dispute.amount),
      stage: dispute.stage,
      outcome: dispute.outcome,
      funds_withdrawn: String(dispute.fundsWithdrawn),
      funds_reinstated: String(dispute.fundsReinstated),
      fee: String(dispute.fee),
    })),
    settlements: standing.settlements.map(({ objectRef, amount, fee }) => ({
      object_ref: objectRef,
      amount: String(amount),
      fee: String(fee),
    })),
    findings: [...standing.findings.map(({ kind, detail }) => ({ kind, detail })), ...contradictions(facts)],
  };
}

function movementBody({ objectRef, amount, status }: MovementState) {
  return { object_ref: objectRef, amount: String(amount), status };
}

/** Which of two contents came first is an accident, so the finding only names the event. */
function contradictions(facts: ReadonlyMap<string, StoredFact>) {
  const told = [...facts.values()].filter(({ row }) => row.contradicts).map(({ row }) => row.event_id);
  if (told.length === 0) return [];
  const events = [...new Set(told)].sort().join(', ');
  return [{ kind: 'contradictory_event', detail: `Told with more than one content: ${events}.` }];
}
