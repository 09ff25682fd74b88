import type { Life, ProviderFact } from './life.js';

/** What a provider ought never to tell, and does. Each is to end in a finding. */

export const CONTRADICTIONS = {
  /** The name of an event that was told before, about something else. */
  other_content: (life) => ({ ...first(life), amount: String(Number(first(life).amount ?? 0) + 1) }),
  other_currency: (life) => another(life, { type: 'captured', amount: '100', currency: other(life.currency) }),
  /** Before anything was captured. */
  voided: (life) => another(life, { type: 'voided', occurred_at: secondAfter(first(life)) }),
  captured_beyond: (life) => another(life, { type: 'captured', amount: '100000000' }),
  settled_again: (life) => another(life, { type: 'settled', amount: '100000000', fee: '0' }),
} satisfies Record<string, (life: Life) => ProviderFact>;

export type Contradiction = keyof typeof CONTRADICTIONS;

function first({ ref, facts }: Life): ProviderFact {
  const fact = facts[0];
  if (!fact) throw new Error(`nothing is known of ${ref}`);
  return fact;
}

/** Of this payment, right after its last fact unless told. The same contradiction is the same event each time. */
function another(life: Life, told: Pick<ProviderFact, 'type'> & Partial<ProviderFact>): ProviderFact {
  const last = life.facts.at(-1) ?? first(life);
  return {
    event_id: `${life.ref}-${told.type}-${told.currency ?? 'against'}`,
    payment_ref: life.ref,
    currency: life.currency,
    occurred_at: secondAfter(last),
    ...told,
  };
}

function secondAfter({ occurred_at }: ProviderFact): string {
  return new Date(Date.parse(occurred_at) + 1_000).toISOString();
}

function other(currency: string): string {
  return currency === 'USD' ? 'EUR' : 'USD';
}
