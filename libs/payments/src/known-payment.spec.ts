import { describe, expect, it } from 'vitest';
import type { Fact } from './facts.js';
import { KnownPayment, saysTheSame } from './known-payment.js';
import { type FactRow, factColumns, factOf } from './payment-rows.js';

const FACT: Fact = {
  id: 'e1',
  source: 'provider',
  type: 'dispute_opened',
  amount: 1_000n,
  currency: 'EUR',
  amountKind: 'delta',
  objectRef: 'd1',
  sequence: 3,
  fee: 15n,
  stage: 'chargeback',
  reason: 'fraud',
  occurredAtMs: Date.UTC(2026, 10, 20, 9, 0, 0, 123),
};

const rowOf = (fact: Fact, more: Partial<FactRow> = {}): FactRow => ({
  merchant_id: '1',
  subject: 'acme/p',
  fact_id: fact.id,
  id: '2',
  event_id: fact.id,
  outcome: 'applied',
  reason: null,
  contradicts: false,
  applied_before: false,
  transaction_id: null,
  trace_context: null,
  ...(JSON.parse(JSON.stringify(factColumns(fact))) as ReturnType<typeof factColumns>),
  ...more,
});

/** Whatever else a telling can say. */
const CHANGES: [keyof Fact, Partial<Fact>][] = [
  ['type', { type: 'dispute_lost' }],
  ['amount', { amount: 999n }],
  ['currency', { currency: 'USD' }],
  ['amountKind', { amountKind: 'cumulative' }],
  ['objectRef', { objectRef: 'd2' }],
  ['fee', { fee: 16n }],
  ['stage', { stage: 'pre_arbitration' }],
  ['sequence', { sequence: 4 }],
  ['reason', { reason: 'duplicate' }],
  ['occurredAtMs', { occurredAtMs: FACT.occurredAtMs + 1 }],
];
/** What two events that tell one change may say in their own ways. */
const OWN_WORDS: (keyof Fact)[] = ['sequence', 'reason', 'occurredAtMs'];

function without(name: keyof Fact): Fact {
  const { [name]: _, ...rest } = FACT;
  return rest as Fact;
}

describe('a fact that is told again', () => {
  it('is a row and a fact as it was', () => {
    expect(factOf(rowOf(FACT))).toEqual(FACT);
    const { amount, currency, objectRef, sequence, fee, stage, reason, ...bare } = FACT;
    expect(factOf(rowOf(bare))).toEqual(bare);
    for (const eventId of ['e1', undefined]) expect(saysTheSame(rowOf(FACT), FACT, eventId)).toBe(true);
  });

  it.each(CHANGES)('says something else with another %s, or with none', (name, change) => {
    const isOwn = OWN_WORDS.includes(name);
    expect(saysTheSame(rowOf(FACT), { ...FACT, ...change }, 'e1')).toBe(false);
    expect(saysTheSame(rowOf(FACT), { ...FACT, ...change }, undefined)).toBe(isOwn);
    if (['type', 'amountKind', 'occurredAtMs'].includes(name)) return;
    for (const [known, told] of [
      [FACT, without(name)],
      [without(name), FACT],
    ] as const) {
      expect(saysTheSame(rowOf(known), told, 'e1')).toBe(false);
      expect(saysTheSame(rowOf(known), told, undefined)).toBe(isOwn);
    }
  });
});

describe('what is known of a payment', () => {
  it('has no member that contradicts another', () => {
    const contradiction = rowOf({ ...FACT, id: 'contradiction:x:e1' }, { outcome: 'rejected', contradicts: true });
    expect(KnownPayment.of(null, [rowOf(FACT), contradiction]).members).toEqual([FACT]);
  });
});
