import type { PaymentTurn } from '../addition.js';
import type { KnownPayment, StoredFact } from '../known-payment.js';
import type { FactRow } from '../payment-rows.js';

/** The consumer whose dead letters are facts that waited for too long. */
export const PAYMENT_FACTS = 'payment_facts';

/** Which letter is meant, should there be one. */
export function letterOf({ merchant_id, id }: FactRow) {
  return { merchant_id, consumer: PAYMENT_FACTS, subject_id: id };
}

/** A fact whose cause has come needs nobody's decision any more. */
export function resolveLetters(known: KnownPayment, changed: readonly StoredFact[], turn: PaymentTurn): void {
  for (const { row } of changed) {
    if (known.facts.get(row.fact_id)?.row.outcome !== 'parked' || row.outcome === 'parked') continue;
    const settled = { status: 'redriven', decided_by: 'counterfoil', reason: 'Its cause arrived.' } as const;
    turn.write({ table: 'dead_letters', settle: { ...letterOf(row), ...settled } });
  }
}
