import type { Fact } from '../../libs/payments/src/facts.js';

const EUR = { currency: 'EUR' };

/**
 * Facts of every type, few enough for all lives that can be made of them: named and not, told again, and against each other.
 * Several share a time, where only `sequence` and id are left to order by.
 */
export const ALPHABET: readonly Fact[] = (
  [
    ['authorised', 2, { amount: 100n, ...EUR, source: 'request' }],
    ['authorisation_adjusted', 4, { amount: 120n }],
    ['authorisation_failed', 4, {}],
    ['captured', 5, { amount: 60n, ...EUR, objectRef: 'c', sequence: 1 }],
    ['captured', 7, { amount: 90n, amountKind: 'cumulative' }],
    ['capture_failed', 8, { amount: 60n }],
    ['voided', 6, {}],
    ['expired', 6, {}],
    ['refunded', 9, { amount: 60n, objectRef: 'r' }],
    ['refund_failed', 10, { objectRef: 'r' }],
    ['refund_reversed', 10, {}],
    ['dispute_opened', 11, { amount: 30n, objectRef: 'd' }],
    ['dispute_funds_withdrawn', 12, { amount: 30n }],
    ['dispute_funds_reinstated', 12, { amount: 30n, objectRef: 'd' }],
    ['dispute_won', 13, {}],
    ['dispute_lost', 13, { objectRef: 'd', amount: 30n, sequence: 4 }],
    ['dispute_fee', 13, { fee: 15n }],
    ['settled', 14, { amount: 60n, fee: 2n }],
    // The whole alphabet says several of some.
    ['authorised', 3, { amount: 100n, ...EUR }],
    ['authorised', 1, { amount: 90n, currency: 'USD' }],
    ['captured', 5, { amount: 60n, ...EUR, objectRef: '5', source: 'request', final: true }],
    ['captured', 7, { amount: 40n }],
    ['refunded', 9, {}],
    ['dispute_opened', 11, { amount: 60n, stage: 'inquiry' }],
  ] satisfies [Fact['type'], number, Partial<Fact>][]
).map(([type, occurredAtMs, more], index) => ({
  id: `fact ${index}`,
  source: 'provider',
  type,
  amountKind: 'delta',
  occurredAtMs,
  ...more,
}));

/** One of each type, and a total: enough for longer lives. */
export const SHORT_ALPHABET: readonly Fact[] = ALPHABET.slice(0, 18);
