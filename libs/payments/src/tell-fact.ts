import { createHash } from 'node:crypto';
import type { Refused } from '#ledger/posting/command.js';
import type { Answer } from '#ledger/writing/group-extension.js';
import { addContradiction, addFacts, newRow } from './add-facts.js';
import type { Addition, NewFact, PaymentTurn } from './addition.js';
import { type KnownPayment, type StoredFact, saysTheSame } from './known-payment.js';
import type { TellFact } from './payment-part.js';
import type { FactRow } from './payment-rows.js';
import type { ToldOutcome } from './provider-fact.js';

type Told = Omit<Addition, 'added' | 'attributes'> & { readonly options: { readonly factsMax: number } };

/** What a provider, or a timer, says of a payment. Nothing of that is refused: what cannot be placed is told as `rejected`. */
export function tellFact(told: Told, { fact, eventId, attributes }: TellFact, turn: PaymentTurn): Answer | Refused {
  const { known, options } = told;
  const same = known.facts.get(fact.id);
  if (same && saysTheSame(same.row, fact, eventId)) return answer('duplicate', known);
  if (!same && known.facts.size >= options.factsMax) {
    return answer('rejected', known, `A payment has at most ${options.factsMax} facts.`);
  }
  const added: [NewFact] = [{ id: turn.nextId(), eventId: eventId ?? fact.id, fact }];
  const addition = { ...told, added, attributes: known.row ? {} : attributes };
  if (same) return contradict(addition, added[0], turn);
  const changed = addFacts(addition, turn);
  if ('accepted' in changed) return changed;
  const next = changed.known;
  const { outcome, reason } = next.facts.get(fact.id)?.row ?? notKept();
  if (outcome === 'discarded') throw new Error('a fact was discarded as it was told');
  return answer(outcome, next, reason ?? undefined);
}

const OTHER_CONTENT = 'This event was told before, with another content.';

/** Kept once for each content, as far as there is room. */
function contradict(addition: Addition & Told, told: NewFact, turn: PaymentTurn): Answer {
  const { known, options } = addition;
  const contradiction = contradictionOf(addition, told, turn);
  const isKept = known.facts.has(contradiction.row.fact_id) || known.facts.size >= options.factsMax;
  const next = isKept ? known : addContradiction(addition, contradiction, turn);
  return answer('rejected', next, OTHER_CONTENT);
}

function contradictionOf(addition: Addition, told: NewFact, turn: PaymentTurn): StoredFact {
  const row = newRow(addition, told, turn);
  const { occurred_at, type, amount, currency, object_ref, more } = row;
  const content = JSON.stringify([occurred_at, type, amount, currency, object_ref, more]);
  const hash = createHash('sha256').update(content).digest('hex').slice(0, 32);
  const contradiction: FactRow = {
    ...row,
    fact_id: `contradiction:${hash}:${told.fact.id}`,
    contradicts: true,
    outcome: 'rejected',
    reason: OTHER_CONTENT,
  };
  return { row: contradiction, fact: told.fact };
}

function notKept(): never {
  throw new Error('a fact that was added is not there');
}

function answer(outcome: ToldOutcome['outcome'], { row }: KnownPayment, reason?: string): Answer {
  const body: ToldOutcome = { outcome, ...(row && { paymentId: row.id }), ...(reason !== undefined && { reason }) };
  return { status: 202, response: JSON.stringify(body) };
}
