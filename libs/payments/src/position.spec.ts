import { describe, expect, test } from 'vitest';
import { differenceOf } from './accounts.js';
import type { Fact, FactType } from './facts.js';
import { freedBy, outcomeOf } from './outcome.js';
import { type Position, position } from './position.js';

/** Right values by hand: what other people's users reported, each rule of the law, and what contradicts itself. */

const OPTIONS = { overcapturePercent: 0 };

/** A provider's fact at the given time; its id is its type and its time unless another one is given. */
function fact(type: FactType, at: number, more: Partial<Fact> = {}): Fact {
  return { id: `${type}@${at}`, source: 'provider', type, amountKind: 'delta', occurredAtMs: at, ...more };
}

const request = (type: FactType, at: number, more: Partial<Fact> = {}): Fact =>
  fact(type, at, { id: `request:${at}`, objectRef: `${at}`, ...more, source: 'request' });

const AUTHORISED = fact('authorised', 10, { amount: 100n, currency: 'EUR' });
const CAPTURED = fact('captured', 20, { amount: 100n, objectRef: 'c1' });
const PAID = [AUTHORISED, CAPTURED];

const of = (...facts: Fact[]): Position => position(facts, OPTIONS);

/** Debits count up. A sixth number: what the hold has on `provider_receivable`. */
function posted({ accounts }: Position): Record<string, number> {
  return Object.fromEntries(
    Object.entries(accounts)
      .filter(([, { posted }]) => posted !== 0n)
      .map(([account, { posted }]) => [account, Number(posted)]),
  );
}

const held = ({ accounts }: Position): number => {
  expect(accounts.merchant_payable.pending).toBe(-accounts.provider_receivable.pending);
  return Number(accounts.provider_receivable.pending);
};

const findings = (of: Position): string[] => of.findings.map(({ kind }) => kind);

describe('failures that others’ users reported', () => {
  test('a failure that is told after the success changes nothing', () => {
    const before = of(...PAID);
    const late = fact('authorisation_failed', 30);
    const after = of(...PAID, late);
    expect(after).toEqual(before);
    expect(outcomeOf(before, after, late)).toBe('stale');
    expect(posted(after)).toEqual({ provider_receivable: 100, merchant_payable: -100 });
  });

  test('a webhook before the payment exists waits for it', () => {
    const early = of(CAPTURED);
    expect(early).toMatchObject({ exists: false, currency: null, status: null, parked: ['captured@20'] });
    expect(posted(early)).toEqual({});
    const after = of(CAPTURED, AUTHORISED);
    expect(outcomeOf(of(), early, CAPTURED)).toBe('parked');
    expect(freedBy(early, after)).toEqual(['captured@20']);
    expect(outcomeOf(early, after, AUTHORISED)).toBe('applied');
    expect(after).toMatchObject({ status: 'captured', amountCaptured: 100n, parked: [] });
  });

  test('one event delivered by three connections at once counts once', () => {
    expect(of(AUTHORISED, CAPTURED, { ...CAPTURED }, CAPTURED)).toEqual(of(...PAID));
  });

  test('an authorisation told after its capture holds only the rest', () => {
    const sale = fact('captured', 20, { amount: 60n, currency: 'EUR', sequence: 1 });
    expect(of(sale)).toMatchObject({ status: 'captured', amount: 60n, amountCaptured: 60n, amountCapturable: 0n });
    const after = of(sale, AUTHORISED);
    expect(after).toMatchObject({ status: 'partially_captured', amount: 100n, amountCapturable: 40n });
    expect(posted(after)).toEqual({ provider_receivable: 60, merchant_payable: -60 });
    expect(held(after)).toBe(40);
  });

  test('an authorisation that failed and then did not is authorised, whichever is told first', () => {
    const failed = fact('authorisation_failed', 5);
    expect(of(failed, AUTHORISED)).toMatchObject({ status: 'authorised', amountCapturable: 100n, parked: [] });
    expect(of(AUTHORISED, failed)).toEqual(of(failed, AUTHORISED));
  });

  test('a capture that failed after it was captured gives its hold back', () => {
    const after = of(...PAID, fact('capture_failed', 30, { objectRef: 'c1' }));
    expect(after).toMatchObject({ status: 'authorised', amountCaptured: 0n, amountCapturable: 100n });
    expect(after.captures).toEqual([{ objectRef: 'c1', amount: 100n, status: 'failed' }]);
    expect(posted(after)).toEqual({});
    expect(held(after)).toBe(100);
  });

  test('funds reinstated although the dispute was lost come back to the receivable alone', () => {
    const dispute = [
      fact('dispute_opened', 30, { objectRef: 'd', amount: 100n }),
      fact('dispute_funds_withdrawn', 31, { objectRef: 'd', amount: 100n }),
      fact('dispute_lost', 40, { objectRef: 'd' }),
    ];
    expect(posted(of(...PAID, ...dispute))).toEqual({});
    const after = of(...PAID, ...dispute, fact('dispute_funds_reinstated', 50, { objectRef: 'd', amount: 100n }));
    expect(posted(after)).toEqual({ provider_receivable: 100, dispute_reserve: -100 });
    expect(after.disputes).toMatchObject([{ outcome: 'lost', fundsWithdrawn: 100n, fundsReinstated: 100n }]);
  });

  test('a partial dispute, lost, beside a full refund counts both and says so', () => {
    const after = of(
      ...PAID,
      fact('dispute_opened', 30, { objectRef: 'd', amount: 30n }),
      fact('dispute_lost', 40, { objectRef: 'd' }),
      fact('refunded', 50, { objectRef: 'r', amount: 100n }),
    );
    expect(after).toMatchObject({ status: 'refunded', amountRefunded: 100n, amountDisputed: 30n });
    expect(findings(after)).toEqual(['refunded_and_disputed']);
    expect(posted(after)).toEqual({ provider_receivable: -30, merchant_payable: 30 });
  });

  test('a refund told twice under two event ids is refunded once', () => {
    const before = of(...PAID, fact('refunded', 30, { objectRef: 'r', amount: 40n }));
    const again = fact('refunded', 31, { objectRef: 'r', amount: 40n });
    const after = of(...PAID, fact('refunded', 30, { objectRef: 'r', amount: 40n }), again);
    expect(after.amountRefunded).toBe(40n);
    expect(outcomeOf(before, after, again)).toBe('stale');
    // Totals so far say it again as well, without any reference.
    const totals = [30, 31].map((at) => fact('refunded', at, { amount: 40n, amountKind: 'cumulative' }));
    expect(of(...PAID, ...totals).refunds).toEqual([{ objectRef: null, amount: 40n, status: 'succeeded' }]);
  });

  test('a dispute that is lost and won next day is won', () => {
    const opened = fact('dispute_opened', 30, { amount: 100n });
    const [lost, won] = [fact('dispute_lost', 40), fact('dispute_won', 50)];
    expect(posted(of(...PAID, opened, lost))).toEqual({});
    for (const facts of [
      [opened, lost, won],
      [won, lost, opened],
    ]) {
      const after = of(...PAID, ...facts);
      expect(after.disputes).toMatchObject([{ outcome: 'won', amount: 100n }]);
      expect(after.amountDisputed).toBe(0n);
      expect(posted(after)).toEqual({ provider_receivable: 100, merchant_payable: -100 });
    }
  });

  test('a chargeback and a refund for the same money are both counted, with a finding', () => {
    const after = of(
      ...PAID,
      fact('refunded', 30, { amount: 100n }),
      fact('dispute_opened', 31, { amount: 100n, stage: 'chargeback' }),
    );
    expect(findings(after)).toEqual(['refunded_and_disputed']);
    expect(posted(after)).toEqual({ merchant_payable: 100, dispute_reserve: -100 });
  });

  test('a settlement told before the capture counts, and its finding is gone when the capture comes', () => {
    const settled = fact('settled', 30, { amount: 100n, fee: 3n });
    const before = of(AUTHORISED, settled);
    expect(posted(before)).toEqual({ provider_receivable: -100, cash: 97, provider_fees: 3 });
    expect(findings(before)).toEqual(['settled_beyond_captured']);
    const after = of(AUTHORISED, settled, CAPTURED);
    expect(posted(after)).toEqual({ merchant_payable: -100, cash: 97, provider_fees: 3 });
    expect(after).toMatchObject({ amountSettled: 100n, findings: [], status: 'captured' });
  });
});

describe('the difference between two positions', () => {
  test('a capture of a hold is one entry an account', () => {
    expect(differenceOf(of(AUTHORISED), of(...PAID))).toEqual([
      { account: 'provider_receivable', currency: 'EUR', direction: 'debit', posted: 100n, pending: -100n },
      { account: 'merchant_payable', currency: 'EUR', direction: 'credit', posted: 100n, pending: -100n },
    ]);
  });

  test('a hold never moves to the other side', () => {
    const failed = of(...PAID, fact('capture_failed', 30, { objectRef: 'c1' }));
    expect(differenceOf(of(...PAID), failed)).toEqual([
      { account: 'provider_receivable', currency: 'EUR', direction: 'credit', posted: 100n, pending: 0n },
      { account: 'provider_receivable', currency: 'EUR', direction: 'debit', posted: 0n, pending: 100n },
      { account: 'merchant_payable', currency: 'EUR', direction: 'debit', posted: 100n, pending: 0n },
      { account: 'merchant_payable', currency: 'EUR', direction: 'credit', posted: 0n, pending: 100n },
    ]);
  });

  test('nothing differs: no entries', () => {
    expect(differenceOf(of(), of(CAPTURED))).toEqual([]);
    expect(differenceOf(of(...PAID), of(...PAID))).toEqual([]);
  });

  test('a payment that was founded in another currency leaves the first', () => {
    const dollars = request('authorised', 11, { amount: 100n, currency: 'USD' });
    expect(differenceOf(of(AUTHORISED), of(AUTHORISED, dollars))).toEqual([
      { account: 'provider_receivable', currency: 'EUR', direction: 'debit', posted: 0n, pending: -100n },
      { account: 'merchant_payable', currency: 'EUR', direction: 'credit', posted: 0n, pending: -100n },
      { account: 'provider_receivable', currency: 'USD', direction: 'debit', posted: 0n, pending: 100n },
      { account: 'merchant_payable', currency: 'USD', direction: 'credit', posted: 0n, pending: 100n },
    ]);
  });
});
