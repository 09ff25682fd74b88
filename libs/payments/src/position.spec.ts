import { describe, expect, test } from 'vitest';
import { differenceOf } from './accounts.js';
import type { Fact, FactType } from './facts.js';
import { outcomeOf } from './outcome.js';
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

/** What is not zero of each account; debits count up. */
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
      {
        account: 'merchant_payable',
        kind: 'payment',
        currency: 'EUR',
        direction: 'credit',
        posted: 100n,
        pending: -100n,
      },
    ]);
  });

  test('a hold never moves to the other side', () => {
    const failed = of(...PAID, fact('capture_failed', 30, { objectRef: 'c1' }));
    expect(differenceOf(of(...PAID), failed)).toEqual([
      { account: 'provider_receivable', currency: 'EUR', direction: 'credit', posted: 100n, pending: 0n },
      { account: 'provider_receivable', currency: 'EUR', direction: 'debit', posted: 0n, pending: 100n },
      { account: 'merchant_payable', kind: 'payment', currency: 'EUR', direction: 'debit', posted: 100n, pending: 0n },
      { account: 'merchant_payable', currency: 'EUR', direction: 'credit', posted: 0n, pending: 100n },
    ]);
  });

  const refunded = fact('refunded', 30, { amount: 30n });
  const onPayable = (before: Position, after: Position) =>
    differenceOf(before, after).flatMap(({ account, kind, direction, posted, pending }) =>
      account === 'merchant_payable' ? [[kind, direction, posted, pending]] : [],
    );

  test('what is owed to the merchant moves by one entry of each kind, and a hold with the one on its side', () => {
    const disputed = [
      fact('dispute_opened', 40, { objectRef: 'd', amount: 20n, stage: 'chargeback' }),
      fact('dispute_fee', 41, { objectRef: 'd', fee: 5n }),
    ];
    expect(onPayable(of(AUTHORISED), of(...PAID, refunded, ...disputed))).toEqual([
      ['payment', 'credit', 100n, -100n],
      ['refund', 'debit', 30n, 0n],
      ['dispute', 'debit', 25n, 0n],
    ]);
    expect(onPayable(of(...PAID, refunded, ...disputed), of(...PAID, ...disputed))).toEqual([
      ['refund', 'credit', 30n, 0n],
    ]);
  });

  test('kinds that come to nothing together move all the same, and nothing else does', () => {
    expect(differenceOf(of(), of(...PAID, fact('refunded', 30, { amount: 100n })))).toEqual([
      { account: 'merchant_payable', kind: 'payment', currency: 'EUR', direction: 'credit', posted: 100n, pending: 0n },
      { account: 'merchant_payable', kind: 'refund', currency: 'EUR', direction: 'debit', posted: 100n, pending: 0n },
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
    expect(onPayable(of(...PAID, refunded), of(...PAID, refunded, dollars))).toEqual([
      ['payment', 'debit', 100n, 0n],
      ['refund', 'credit', 30n, 0n],
      ['payment', 'credit', 100n, 0n],
      ['refund', 'debit', 30n, 0n],
    ]);
  });
});

describe('a payment begins', () => {
  test('with the merchant’s own opening, whatever the provider says of an earlier time', () => {
    const after = of(AUTHORISED, request('authorised', 11, { amount: 90n, currency: 'EUR' }));
    expect(after).toMatchObject({ amount: 90n, amountAuthorised: 100n });
    expect(after.findings).toEqual([{ kind: 'authorisation_mismatch', detail: 'Authorised amounts differ: 90, 100.' }]);
  });

  test('not with a capture that does not say that it is the first, nor without an amount or a currency', () => {
    expect(of(fact('captured', 1, { amount: 5n, currency: 'EUR' })).exists).toBe(false);
    expect(of(fact('captured', 1, { amount: 5n, currency: 'EUR', sequence: 2 })).exists).toBe(false);
    expect(of(fact('authorised', 1, { amount: 5n })).exists).toBe(false);
    expect(of(fact('authorised', 1, { currency: 'EUR' })).exists).toBe(false);
    expect(of(fact('captured', 1, { amount: 5n, currency: 'EUR', sequence: 1 })).exists).toBe(true);
  });

  test('in one currency: what is in another is rejected, and moves nothing', () => {
    const foreign = fact('captured', 20, { amount: 100n, currency: 'USD' });
    const after = of(AUTHORISED, foreign);
    expect(after).toMatchObject({ status: 'authorised', amountCaptured: 0n, rejected: ['captured@20'], parked: [] });
    expect(after.findings).toEqual([
      { kind: 'currency_mismatch', detail: 'Facts are in another currency than EUR: captured@20.' },
    ]);
    expect(outcomeOf(of(AUTHORISED), after, foreign)).toBe('rejected');
  });

  test('with one content for each identity, the same in every order', () => {
    const other = { ...CAPTURED, amount: 70n };
    expect(of(AUTHORISED, CAPTURED, other)).toEqual(of(other, AUTHORISED, CAPTURED));
    expect(findings(of(AUTHORISED, CAPTURED, other))).toEqual(['contradictory_event']);
    expect(findings(of(CAPTURED, other))).toEqual(['contradictory_event']);
  });
});

describe('an authorisation', () => {
  test('is of what it was last adjusted to', () => {
    const adjusted = [
      fact('authorisation_adjusted', 12, { amount: 150n }),
      fact('authorisation_adjusted', 14, { amount: 80n }),
    ];
    const after = of(...adjusted, AUTHORISED);
    expect(after).toMatchObject({ amountAuthorised: 80n, amountCapturable: 80n, amount: 100n });
    const totals = adjusted.map((one) => ({ ...one, amountKind: 'cumulative' as const }));
    expect(of(AUTHORISED, ...totals).amountAuthorised).toBe(150n);
    expect(of(AUTHORISED, fact('authorisation_adjusted', 12)).amountAuthorised).toBe(100n);
  });

  test('that the provider refuses was only claimed, and so was its capture', () => {
    const claims = [
      request('authorised', 10, { amount: 100n, currency: 'EUR' }),
      request('captured', 11, { amount: 100n, final: true }),
    ];
    const after = of(...claims, fact('authorisation_failed', 12));
    expect(after).toMatchObject({ status: 'failed', amountAuthorised: 0n, amountCaptured: 0n, findings: [] });
    expect(after.captures).toEqual([{ objectRef: '11', amount: 100n, status: 'failed' }]);
    expect(posted(after)).toEqual({});
    expect(held(after)).toBe(0);
    // What the provider itself captured, and did not take back, was authorised.
    const captured = fact('captured', 13, { amount: 100n, objectRef: 'c' });
    expect(of(...claims, fact('authorisation_failed', 12), captured)).toMatchObject({
      status: 'captured',
      amountAuthorised: 100n,
      amountCaptured: 100n,
    });
    const failed = fact('capture_failed', 14, { objectRef: 'c' });
    expect(of(...claims, fact('authorisation_failed', 12), captured, failed).status).toBe('failed');
  });
});

describe('captures', () => {
  test('without names are each their own', () => {
    const after = of(AUTHORISED, fact('captured', 20, { amount: 60n }), fact('captured', 21, { amount: 40n }));
    expect(after.captures.map(({ amount }) => amount)).toEqual([60n, 40n]);
    expect(after).toMatchObject({ status: 'captured', amountCaptured: 100n });
  });

  test('that say what they come to so far are the highest of it, with what is told one by one in it', () => {
    const total = (amount: bigint, at: number) => fact('captured', at, { amount, amountKind: 'cumulative' });
    const after = of(AUTHORISED, total(90n, 22), total(60n, 21), fact('captured', 20, { amount: 60n, objectRef: 'c' }));
    expect(after.captures).toEqual([
      { objectRef: 'c', amount: 60n, status: 'succeeded' },
      { objectRef: null, amount: 30n, status: 'succeeded' },
    ]);
  });

  test('requested and told are one, by name or by amount; the provider’s amount counts', () => {
    const claim = request('captured', 20, { amount: 60n });
    expect(of(AUTHORISED, claim).captures).toEqual([{ objectRef: '20', amount: 60n, status: 'requested' }]);
    for (const told of [{ amount: 60n, objectRef: 'c' }, { amount: 60n }, { objectRef: '20' }, { objectRef: 'c' }])
      expect(of(AUTHORISED, claim, fact('captured', 21, told)).captures).toEqual([
        { objectRef: '20', amount: 60n, status: 'succeeded' },
      ]);
    expect(of(AUTHORISED, claim, fact('captured', 21, { amount: 50n, objectRef: '20' })).amountCaptured).toBe(50n);
    expect(of(AUTHORISED, claim, fact('captured', 21, { amount: 40n })).amountCaptured).toBe(100n);
    const total = fact('captured', 21, { amount: 60n, amountKind: 'cumulative' });
    expect(of(AUTHORISED, claim, total).captures).toEqual([{ objectRef: '20', amount: 60n, status: 'succeeded' }]);
  });

  test('requested and failed at the provider under a name of its own did not happen', () => {
    const claims = [request('captured', 20, { amount: 60n }), request('captured', 30, { amount: 60n })];
    const failed = fact('capture_failed', 21, { amount: 60n, objectRef: 'c' });
    expect(of(AUTHORISED, ...claims, failed).captures.map(({ status }) => status)).toEqual(['failed', 'requested']);
  });

  test('that fail without a name are the only one, or the only one of that amount; else the failure waits', () => {
    const captures = [fact('captured', 20, { amount: 60n }), fact('captured', 21, { amount: 30n })];
    const failed = fact('capture_failed', 30, { amount: 30n });
    expect(of(AUTHORISED, ...captures, failed)).toMatchObject({ amountCaptured: 60n, parked: [] });
    expect(of(AUTHORISED, fact('captured', 20, { amount: 60n }), fact('capture_failed', 30)).amountCaptured).toBe(0n);
    const unclear = of(AUTHORISED, ...captures, fact('capture_failed', 30));
    expect(unclear).toMatchObject({ amountCaptured: 90n, parked: ['capture_failed@30'] });
    const early = of(AUTHORISED, fact('capture_failed', 30));
    expect(early.parked).toEqual(['capture_failed@30']);
  });

  test('without an amount are of all that is left', () => {
    const after = of(AUTHORISED, fact('captured', 20, { objectRef: 'c' }), fact('captured', 21, { amount: 30n }));
    expect(after.captures.map(({ amount }) => amount)).toEqual([70n, 30n]);
    const waits = of(AUTHORISED, fact('captured', 20), fact('captured', 21, { amount: 100n }));
    expect(waits).toMatchObject({ amountCaptured: 100n, parked: ['captured@20'] });
  });

  test('that were final, a void and an expiry give the rest back, unless the final one failed', () => {
    const final = request('captured', 20, { amount: 60n, final: true });
    expect(of(AUTHORISED, final)).toMatchObject({ status: 'captured', amountCapturable: 0n });
    const failed = fact('capture_failed', 21, { objectRef: '20' });
    expect(of(AUTHORISED, final, failed)).toMatchObject({ status: 'authorised', amountCapturable: 100n });
    const part = fact('captured', 20, { amount: 60n });
    for (const type of ['voided', 'expired'] as const) {
      expect(of(AUTHORISED, fact(type, 30))).toMatchObject({ status: type, amountCapturable: 0n });
      expect(of(AUTHORISED, part, fact(type, 30))).toMatchObject({
        status: 'captured',
        amountCapturable: 0n,
        findings: [],
      });
    }
  });

  test('after a void or an expiry count, and say so', () => {
    const late = fact('captured', 40, { amount: 60n });
    for (const [type, kind] of [
      ['voided', 'captured_after_void'],
      ['expired', 'captured_after_expiry'],
    ] as const) {
      const after = of(AUTHORISED, fact(type, 30), late);
      expect(after).toMatchObject({ status: 'captured', amountCaptured: 60n });
      expect(after.findings).toEqual([{ kind, detail: `Captured after ${type}@30: captured@40.` }]);
      // Nor does it matter when the provider tells once more of what it captured in time.
      const early = fact('captured', 20, { amount: 60n, objectRef: 'c' });
      expect(of(AUTHORISED, early, fact(type, 30), { ...early, id: 'again', occurredAtMs: 50 }).findings).toEqual([]);
    }
  });

  test('beyond what was authorised count, and say so beyond the tolerance', () => {
    const facts = [AUTHORISED, fact('captured', 20, { amount: 110n })];
    expect(position(facts, { overcapturePercent: 10 }).findings).toEqual([]);
    expect(position(facts, { overcapturePercent: 9 })).toMatchObject({ amountCaptured: 110n, amountCapturable: 0n });
    expect(position(facts, { overcapturePercent: 9 }).findings).toEqual([
      { kind: 'overcaptured', detail: '110 captured, of 100 authorised.' },
    ]);
  });
});

describe('refunds', () => {
  test('wait until what they give back is captured, each by itself', () => {
    const [first, second] = [fact('refunded', 30, { amount: 80n }), fact('refunded', 31, { amount: 20n })];
    const part = fact('captured', 20, { amount: 60n });
    const before = of(AUTHORISED, part, first, second);
    expect(before).toMatchObject({ amountRefunded: 20n, parked: ['refunded@30'], status: 'partially_refunded' });
    const rest = fact('captured', 21, { amount: 40n });
    const after = of(AUTHORISED, part, first, second, rest);
    expect(after).toMatchObject({ amountRefunded: 100n, parked: [], status: 'refunded' });
  });

  test('requested and told pay once', () => {
    const after = of(
      ...PAID,
      request('refunded', 30, { amount: 40n }),
      fact('refunded', 31, { amount: 40n, objectRef: 'r' }),
    );
    expect(after.refunds).toEqual([{ objectRef: '30', amount: 40n, status: 'succeeded' }]);
    expect(posted(after)).toEqual({ provider_receivable: 60, merchant_payable: -60 });
  });

  test('requested and told wait together', () => {
    const facts = [fact('refunded', 29, { amount: 80n, objectRef: 'r' }), request('refunded', 30, { amount: 80n })];
    expect(of(AUTHORISED, fact('captured', 20, { amount: 60n }), ...facts).parked).toEqual([
      'refunded@29',
      'request:30',
    ]);
  });

  test('so far of one object are its own, not the payment’s', () => {
    const so = (amount: bigint, objectRef: string, at: number) =>
      fact('refunded', at, { amount, objectRef, amountKind: 'cumulative' });
    const after = of(...PAID, so(10n, 'r', 30), so(30n, 'r', 31), so(20n, 's', 32));
    expect(after.refunds.map(({ amount }) => amount)).toEqual([30n, 20n]);
  });

  test('of one amount are confirmed in the order of both', () => {
    const claims = [request('refunded', 30, { amount: 20n }), request('refunded', 40, { amount: 20n })];
    const told = [
      fact('refunded', 31, { amount: 20n, objectRef: 'r' }),
      fact('refund_failed', 41, { amount: 20n, objectRef: 's' }),
    ];
    expect(of(...PAID, ...claims, ...told).refunds).toMatchObject([
      { objectRef: '30', status: 'succeeded' },
      { objectRef: '40', status: 'failed' },
    ]);
  });

  test('of which a total covers some are confirmed as far as it goes', () => {
    const claims = [request('refunded', 30, { amount: 20n }), request('refunded', 31, { amount: 20n })];
    const after = of(...PAID, ...claims, fact('refunded', 32, { amount: 30n, amountKind: 'cumulative' }));
    expect(after.refunds.map(({ status }) => status)).toEqual(['succeeded', 'requested']);
    expect(after.amountRefunded).toBe(40n);
  });

  test('that failed or were reversed pay nothing, and make room', () => {
    for (const [type, status] of [
      ['refund_failed', 'failed'],
      ['refund_reversed', 'reversed'],
    ] as const) {
      const first = [fact('refunded', 30, { amount: 70n, objectRef: 'r' }), fact(type, 31, { objectRef: 'r' })];
      const after = of(...PAID, ...first, fact('refunded', 40, { amount: 70n, objectRef: 's' }));
      expect(after.refunds.map((refund) => refund.status)).toEqual([status, 'succeeded']);
      expect(after.amountRefunded).toBe(70n);
    }
  });

  test('that failed are not in the totals that are told later, and are in those told before', () => {
    const failed = fact('refund_failed', 35, { amount: 30n, objectRef: 'r' });
    const total = (amount: bigint, at: number) => fact('refunded', at, { amount, amountKind: 'cumulative' });
    expect(of(...PAID, total(30n, 30), failed).amountRefunded).toBe(0n);
    expect(of(...PAID, total(30n, 30), failed, total(50n, 40)).amountRefunded).toBe(50n);
    expect(of(...PAID, total(80n, 30), failed, total(50n, 40)).amountRefunded).toBe(50n);
  });
});

describe('disputes', () => {
  const opened = (more: Partial<Fact> = {}, at = 30) =>
    fact('dispute_opened', at, { objectRef: 'd', amount: 40n, ...more });

  test('an inquiry asks, and takes nothing', () => {
    const after = of(...PAID, opened({ stage: 'inquiry' }));
    expect(after).toMatchObject({ amountDisputed: 0n, disputes: [{ stage: 'inquiry', amount: 40n }] });
    expect(posted(after)).toEqual(posted(of(...PAID)));
    const lost = of(...PAID, opened({ stage: 'inquiry' }), fact('dispute_lost', 40, { objectRef: 'd' }));
    expect(posted(lost)).toEqual(posted(of(...PAID)));
  });

  test('are decided by the last outcome of the highest stage that outcomes speak of', () => {
    const won = fact('dispute_won', 60, { objectRef: 'd', stage: 'chargeback' });
    const lost = fact('dispute_lost', 50, { objectRef: 'd', stage: 'second_chargeback' });
    const outcome = (...facts: Fact[]) => of(...PAID, opened(), ...facts).disputes.map((dispute) => dispute.outcome);
    expect(outcome(won, lost)).toEqual(['lost']);
    expect(outcome(lost, fact('dispute_won', 55, { objectRef: 'd', stage: 'second_chargeback' }))).toEqual(['won']);
    // Who does not say which is of any.
    expect(outcome(lost, fact('dispute_won', 55, { objectRef: 'd' }))).toEqual(['won']);
    expect(outcome(lost, fact('dispute_won', 45, { objectRef: 'd' }))).toEqual(['lost']);
  });

  test('are at the highest stage told, named or not', () => {
    for (const objectRef of ['d', undefined]) {
      const named = objectRef === undefined ? {} : { objectRef };
      const stages = [
        fact('dispute_opened', 31, { amount: 40n, stage: 'chargeback', ...named }),
        fact('dispute_opened', 30, { amount: 40n, stage: 'inquiry', ...named }),
      ];
      expect(of(...PAID, ...stages).disputes).toMatchObject([{ stage: 'chargeback', amount: 40n }]);
    }
  });

  test('take the money while they are open, and only the outcome says who keeps it', () => {
    expect(posted(of(...PAID, opened()))).toEqual({
      provider_receivable: 100,
      merchant_payable: -60,
      dispute_reserve: -40,
    });
    const lost = fact('dispute_lost', 40, { objectRef: 'd' });
    expect(posted(of(...PAID, opened(), lost))).toEqual({ provider_receivable: 60, merchant_payable: -60 });
    // Told apart, money moves once.
    const withdrawn = fact('dispute_funds_withdrawn', 31, { objectRef: 'd', amount: 40n });
    expect(posted(of(...PAID, opened(), lost, withdrawn))).toEqual({ provider_receivable: 60, merchant_payable: -60 });
    const won = fact('dispute_won', 50, { objectRef: 'd' });
    expect(posted(of(...PAID, opened(), lost, withdrawn, won))).toEqual({
      provider_receivable: 60,
      merchant_payable: -100,
      dispute_reserve: 40,
    });
  });

  test('take it once more in the second round, and once however often it is told', () => {
    const money = (type: FactType, at: number, stage: Fact['stage']) =>
      fact(type, at, { objectRef: 'd', amount: 40n, stage });
    const rounds = [
      money('dispute_funds_withdrawn', 31, 'chargeback'),
      money('dispute_funds_withdrawn', 32, 'chargeback'),
      money('dispute_funds_reinstated', 33, 'chargeback'),
      money('dispute_funds_withdrawn', 34, 'second_chargeback'),
    ];
    expect(of(...PAID, opened(), ...rounds).disputes).toMatchObject([{ fundsWithdrawn: 80n, fundsReinstated: 40n }]);
  });

  test('give back no more than they took, or say so', () => {
    const reinstated = fact('dispute_funds_reinstated', 33, { objectRef: 'd', amount: 40n });
    expect(findings(of(...PAID, opened(), reinstated))).toEqual(['reinstated_beyond_withdrawn']);
  });

  test('charge a fee beside the amount', () => {
    const after = of(...PAID, opened(), fact('dispute_fee', 31, { objectRef: 'd', fee: 15n }));
    expect(after.disputes).toMatchObject([{ amount: 40n, fee: 15n }]);
    expect(posted(after)).toEqual({ provider_receivable: 85, merchant_payable: -45, dispute_reserve: -40 });
  });

  test('wait until what they take is captured, with all that is told of them', () => {
    const facts = [opened(), fact('dispute_funds_withdrawn', 31, { objectRef: 'd', amount: 40n })];
    expect(of(AUTHORISED, ...facts)).toMatchObject({ parked: ['dispute_opened@30', 'dispute_funds_withdrawn@31'] });
    // One that was won takes nothing from the next.
    const won = [opened({ amount: 100n }), fact('dispute_won', 40, { objectRef: 'd' })];
    const next = opened({ objectRef: 'e', amount: 100n }, 50);
    expect(of(...PAID, ...won, next)).toMatchObject({ amountDisputed: 100n, parked: [] });
    expect(of(...PAID, opened({ amount: 100n }), next)).toMatchObject({ parked: ['dispute_opened@50'] });
  });

  test('go on without a name when there is only one; else what is told of them waits', () => {
    const other = opened({ objectRef: 'e', amount: 30n });
    expect(of(...PAID, opened(), fact('dispute_lost', 40)).disputes).toMatchObject([{ outcome: 'lost' }]);
    expect(of(...PAID, opened(), { ...other, id: 'e' }, fact('dispute_lost', 40)).parked).toEqual(['dispute_lost@40']);
    const named = of(...PAID, opened(), { ...other, id: 'e' }, fact('dispute_lost', 40, { amount: 30n }));
    expect(named.disputes.map(({ outcome }) => outcome)).toEqual(['open', 'lost']);
  });
});

describe('settlements', () => {
  test('with one name are told again; beyond what was captured they count, and say so', () => {
    const settled = (at: number, objectRef: string) => fact('settled', at, { amount: 100n, fee: 3n, objectRef });
    expect(of(...PAID, settled(30, 's'), settled(31, 's'))).toMatchObject({ amountSettled: 100n, findings: [] });
    const twice = of(...PAID, settled(30, 's'), settled(31, 't'));
    expect(twice.findings).toEqual([{ kind: 'settled_beyond_captured', detail: '200 settled, of 100 captured.' }]);
    expect(posted(twice)).toEqual({
      provider_receivable: -100,
      merchant_payable: -100,
      provider_fees: 6,
      cash: 194,
    });
  });

  test('that say what they come to so far have their fees so far as well', () => {
    const total = (amount: bigint, fee: bigint, at: number) =>
      fact('settled', at, { amount, fee, amountKind: 'cumulative' });
    const after = of(...PAID, total(60n, 2n, 30), total(100n, 3n, 31));
    expect(after.settlements).toEqual([{ objectRef: null, amount: 100n, fee: 3n }]);
    const one = fact('settled', 29, { amount: 60n, fee: 2n, objectRef: 's' });
    expect(of(...PAID, one, total(100n, 3n, 31), total(60n, 2n, 30)).settlements).toEqual([
      { objectRef: 's', amount: 60n, fee: 2n },
      { objectRef: null, amount: 40n, fee: 1n },
    ]);
    expect(of(...PAID, one, total(60n, 1n, 31)).settlements).toEqual([{ objectRef: 's', amount: 60n, fee: 2n }]);
  });
});
