import { expect, test } from 'vitest';
import type { Fact } from './facts.js';
import { outcomeOf } from './outcome.js';
import { position } from './position.js';

const fact = (type: Fact['type'], at: number, more: Partial<Fact> = {}): Fact => ({
  id: `${type}@${at}`,
  source: 'provider',
  type,
  amountKind: 'delta',
  occurredAtMs: at,
  ...more,
});
const AUTHORISED = fact('authorised', 1, { amount: 100n, currency: 'EUR' });
const CLAIMED = fact('captured', 2, { id: 'request:2', source: 'request', amount: 100n, objectRef: '2' });
const DISPUTED = fact('dispute_opened', 3, { amount: 10n, objectRef: 'd', stage: 'chargeback' });
const FEE = fact('dispute_fee', 4, { fee: 5n, objectRef: 'd' });

/** Facts that change one thing alone of what is known already. */
test.each([
  ['a finding', [AUTHORISED], fact('authorised', 5, { amount: 90n, currency: 'EUR' }), 'applied'],
  ['the status of a capture', [AUTHORISED, CLAIMED], fact('captured', 5, { amount: 100n, objectRef: 'c' }), 'applied'],
  [
    'the stage of a dispute',
    [AUTHORISED, CLAIMED, DISPUTED],
    { ...DISPUTED, id: 's', stage: 'pre_arbitration' },
    'applied',
  ],
  ['the outcome of a dispute', [AUTHORISED, CLAIMED, DISPUTED], fact('dispute_lost', 5, { objectRef: 'd' }), 'applied'],
  ['the fee of a dispute', [AUTHORISED, CLAIMED, DISPUTED, FEE], { ...FEE, id: 'f', fee: 6n }, 'applied'],
  ['nothing', [AUTHORISED, CLAIMED, DISPUTED, FEE], { ...FEE, id: 'f' }, 'stale'],
] as [string, Fact[], Fact, string][])('a fact that changes %s counts as that', (_what, known, told, outcome) => {
  const options = { overcapturePercent: 0 };
  expect(outcomeOf(position(known, options), position([...known, told], options), told)).toBe(outcome);
});
