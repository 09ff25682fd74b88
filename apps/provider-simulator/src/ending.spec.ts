import { describe, expect, test } from 'vitest';
import type { Fact } from '#payments/facts.js';
import { position } from '#payments/position.js';
import { shuffled, withEchoes } from './arrivals.js';
import { endingOf } from './ending.js';
import { type Life, liveALife, PLOT_NAMES, type ProviderFact } from './life.js';
import { Random } from './random.js';

const LIVES_OF_A_PLOT = 200;
const OPTIONS = { overcapturePercent: 0 };

/** What the merchant's own opening leaves in the set, at a time that means nothing. */
function claimsOf({ opening, currency }: Life, occurredAtMs: number): Fact[] {
  if (!opening) return [];
  const claim = {
    source: 'request',
    amount: BigInt(opening.amount),
    currency,
    amountKind: 'delta',
    occurredAtMs,
  } as const;
  const authorised: Fact = { ...claim, id: 'request:1', type: 'authorised' };
  if (opening.capture === 'manual') return [authorised];
  return [authorised, { ...claim, id: 'request:2', type: 'captured', objectRef: '2', final: true }];
}

function factOf({
  event_id,
  payment_ref,
  amount,
  fee,
  occurred_at,
  amount_kind,
  object_ref,
  ...told
}: ProviderFact): Fact {
  return {
    ...told,
    id: event_id,
    source: 'provider',
    amountKind: amount_kind ?? 'delta',
    occurredAtMs: Date.parse(occurred_at),
    ...(amount !== undefined && { amount: BigInt(amount) }),
    ...(fee !== undefined && { fee: BigInt(fee) }),
    ...(object_ref !== undefined && { objectRef: object_ref }),
  };
}

/** What the ledger's fold of the same facts comes to, in the ending's words. */
function positionOf(facts: readonly Fact[]) {
  const is = position(facts, OPTIONS);
  const amounts = (of: 'posted' | 'pending') =>
    Object.fromEntries(Object.entries(is.accounts).map(([name, on]) => [name, Number(on[of])]));
  return {
    shown: {
      status: is.status,
      authorised: Number(is.amountAuthorised),
      capturable: Number(is.amountCapturable),
      captured: Number(is.amountCaptured),
      refunded: Number(is.amountRefunded),
      disputed: Number(is.amountDisputed),
      settled: Number(is.amountSettled),
    },
    posted: amounts('posted'),
    pending: amounts('pending'),
    findings: is.findings,
    unplaced: [...is.parked, ...is.rejected],
  };
}

describe('a story, read in the order in which it happened, ends where the set of its facts does', () => {
  test.each(PLOT_NAMES)('%s', (plot) => {
    for (let n = 0; n < LIVES_OF_A_PLOT; n += 1) {
      const random = new Random('endings', plot, n);
      const sinceMs = Date.UTC(2026, 10, 20);
      const life = liveALife({ ref: 'p', currency: 'EUR', sinceMs, opened: 0.5 }, random, plot);
      const told = withEchoes(life.facts, 0.3, random).map(factOf);
      const facts = [...told, ...claimsOf(life, sinceMs + random.between(-100_000_000, 100_000_000))];
      const { shown, posted, pending } = endingOf(life);
      const none = { dispute_reserve: 0, provider_fees: 0, cash: 0 };
      expect(positionOf(shuffled(facts, facts.length, random)), JSON.stringify(life)).toEqual({
        shown,
        posted,
        pending: { ...none, ...pending },
        findings: [],
        unplaced: [],
      });
    }
  });
});
