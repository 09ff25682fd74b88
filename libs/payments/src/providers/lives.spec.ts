import { describe, expect, it } from 'vitest';
import type { Fact } from '../facts.js';
import { type Position, position } from '../position.js';
import { ADYEN } from './adyen.js';
import type { Provider } from './provider.js';
import { STRIPE } from './stripe.js';

/** What providers send of one payment, and the position that it comes to, whatever came first. */

const RECEIVED_MS = Date.parse('2026-11-27T12:00:00Z');
const NOW_S = RECEIVED_MS / 1_000;

function factsOf(provider: Provider, bodies: readonly object[]): Fact[] {
  return bodies.flatMap((body) => {
    const translation = provider.translate(Buffer.from(JSON.stringify(body)), RECEIVED_MS);
    if (!('told' in translation)) throw new Error(translation.unreadable);
    return translation.told.flatMap((one) => ('fact' in one ? one.fact : []));
  });
}
const positionOf = (provider: Provider, bodies: readonly object[]) =>
  position(factsOf(provider, bodies), { overcapturePercent: 0 });

function posted({ accounts }: Position): Record<string, number> {
  const rows = Object.entries(accounts).filter(([, { posted }]) => posted !== 0n);
  return Object.fromEntries(rows.map(([account, { posted }]) => [account, Number(posted)]));
}

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length < 2) return [[...items]];
  return items.flatMap((item, at) => permutations(items.toSpliced(at, 1)).map((rest) => [item, ...rest]));
}

const EVENT_DATES = [-4, -3, -2, -1].map((hours) => new Date(RECEIVED_MS + hours * 3_600_000).toISOString());

function adyen(eventCode: string, pspReference: string, eventDate = EVENT_DATES[0]) {
  const originalReference = eventCode === 'AUTHORISATION' ? '' : 'PSP1';
  const item = {
    amount: { currency: 'EUR', value: 100 },
    eventCode,
    eventDate,
    merchantAccountCode: 'Shop',
    merchantReference: 'order',
    originalReference,
    pspReference,
    success: 'true',
  };
  return { notificationItems: [{ NotificationRequestItem: item }] };
}
const PAID = [adyen('AUTHORISATION', 'PSP1'), adyen('CAPTURE', 'CAP1')];

describe('a dispute at Adyen', () => {
  it.each([
    ['lost at once', ['CHARGEBACK'], {}, 'open'],
    ['won', ['CHARGEBACK', 'CHARGEBACK_REVERSED'], { provider_receivable: 100, merchant_payable: -100 }, 'won'],
    ['won, and lost in the second round', ['CHARGEBACK', 'CHARGEBACK_REVERSED', 'SECOND_CHARGEBACK'], {}, 'lost'],
    [
      'won in the third round',
      ['CHARGEBACK', 'CHARGEBACK_REVERSED', 'SECOND_CHARGEBACK', 'PREARBITRATION_WON'],
      { provider_receivable: 100, merchant_payable: -100 },
      'won',
    ],
    [
      'lost in the third round',
      ['CHARGEBACK', 'CHARGEBACK_REVERSED', 'SECOND_CHARGEBACK', 'PREARBITRATION_LOST'],
      {},
      'lost',
    ],
    [
      'decided in pre-arbitration alone',
      ['CHARGEBACK', 'PREARBITRATION_WON'],
      { provider_receivable: 100, merchant_payable: -100 },
      'won',
    ],
    ['that only asks', ['REQUEST_FOR_INFORMATION'], { provider_receivable: 100, merchant_payable: -100 }, 'open'],
  ])('%s comes to the same with whatever dates, which nobody signs', (_what, codes, accounts, outcome) => {
    for (const dates of permutations(EVENT_DATES.slice(0, codes.length))) {
      const after = positionOf(ADYEN, [...PAID, ...codes.map((code, at) => adyen(code, 'DSP1', dates[at]))]);
      expect([dates, posted(after), after.disputes[0]?.outcome]).toEqual([dates, accounts, outcome]);
      expect(after.findings).toEqual([]);
    }
  });
});

it('a payment at Adyen that is cancelled or refunded is either, by what is known of it', () => {
  const reversal = adyen('CANCEL_OR_REFUND', 'REV1');
  expect(positionOf(ADYEN, [...PAID, reversal])).toMatchObject({ status: 'refunded', amountRefunded: 100n });
  const cancelled = positionOf(ADYEN, [adyen('AUTHORISATION', 'PSP1'), reversal]);
  expect(cancelled).toMatchObject({ status: 'voided', amountCapturable: 0n, amountRefunded: 0n });
  expect(posted(cancelled)).toEqual({});
});

const CHARGE = {
  id: 'ch_1',
  amount: 100,
  amount_captured: 0,
  amount_refunded: 0,
  captured: false,
  created: NOW_S - 100,
  currency: 'eur',
  payment_intent: 'pi_1',
  status: 'succeeded',
};
const INTENT = {
  id: 'pi_1',
  amount: 100,
  amount_capturable: 100,
  amount_received: 0,
  created: NOW_S - 110,
  currency: 'eur',
  status: 'requires_capture',
};
const REFUND = {
  id: 're_1',
  amount: 30,
  balance_transaction: 'txn_1',
  charge: 'ch_1',
  created: NOW_S - 50,
  currency: 'eur',
  payment_intent: 'pi_1',
  status: 'succeeded',
};
const stripe = (type: string, atS: number, ...objects: object[]) => ({
  id: `evt_${type}_${atS}`,
  type,
  created: NOW_S + atS,
  data: { object: Object.assign({}, ...objects) },
});

describe('a payment at Stripe', () => {
  const held = [
    stripe('charge.succeeded', -100, CHARGE),
    stripe('payment_intent.amount_capturable_updated', -99, INTENT),
  ];
  const part = { captured: true, amount_captured: 60, amount_refunded: 40 };
  const captured = [
    stripe('charge.captured', -80, CHARGE, part),
    stripe('payment_intent.succeeded', -81, INTENT, { status: 'succeeded', amount_capturable: 0, amount_received: 60 }),
    // What is given back of the hold is a refund to Stripe.
    stripe('refund.created', -80, REFUND, { id: 're_0', amount: 40, balance_transaction: null }),
  ];
  const refunded = [
    stripe('charge.refunded', -50, CHARGE, part, { amount_refunded: 70 }),
    stripe('refund.created', -50, REFUND),
    stripe('charge.refund.updated', -49, REFUND),
  ];

  it('captured in part gives back the rest, and neither order nor repetition count', () => {
    const all = [...held, ...captured, ...refunded];
    const expected = {
      status: 'partially_refunded',
      amountCaptured: 60n,
      amountCapturable: 0n,
      amountRefunded: 30n,
      findings: [],
      parked: [],
    };
    for (const bodies of [all, all.toReversed(), [...all, ...all]]) {
      const after = positionOf(STRIPE, bodies);
      expect(after).toMatchObject(expected);
      expect(posted(after)).toEqual({ provider_receivable: 30, merchant_payable: -30 });
    }
  });

  it.each([
    ['its charges', [held[0], captured[0]]],
    ['its PaymentIntents', [held[1], captured[1]]],
    ['its last snapshot', [refunded[0]]],
  ])('is known by %s alone', (_what, bodies) => {
    expect(positionOf(STRIPE, bodies as object[])).toMatchObject({ amountAuthorised: 100n, amountCaptured: 60n });
  });

  it('whose authorisation grows contradicts nothing', () => {
    const grown = stripe('payment_intent.amount_capturable_updated', -90, INTENT, {
      amount: 150,
      amount_capturable: 150,
    });
    expect(positionOf(STRIPE, [...held, grown])).toMatchObject({
      amountAuthorised: 150n,
      amountCapturable: 150n,
      findings: [],
    });
  });

  it('whose refund fails, and is made again, is refunded once', () => {
    const failed = stripe('refund.failed', -30, REFUND, { status: 'failed' });
    const again = stripe('refund.created', -20, REFUND, { id: 're_2', created: NOW_S - 20 });
    const total = stripe('charge.refunded', -20, CHARGE, part, { amount_refunded: 70 });
    expect(positionOf(STRIPE, [...held, ...captured, ...refunded, failed]).amountRefunded).toBe(0n);
    expect(positionOf(STRIPE, [...held, ...captured, ...refunded, failed, again, total]).amountRefunded).toBe(30n);
  });

  it('lost in a dispute pays once, and has it back once it is won', () => {
    const taken = { amount: -60, fee: 15, currency: 'eur', created: NOW_S - 40 };
    const back = { amount: 60, fee: 0, currency: 'eur', created: NOW_S - 10 };
    const dispute = {
      id: 'dp_1',
      amount: 60,
      charge: 'ch_1',
      created: NOW_S - 41,
      currency: 'eur',
      payment_intent: 'pi_1',
      balance_transactions: [taken],
    };
    const lost = [
      stripe('charge.dispute.created', -41, dispute, { status: 'needs_response' }),
      stripe('charge.dispute.funds_withdrawn', -40, dispute, { status: 'needs_response' }),
      stripe('charge.dispute.closed', -30, dispute, { status: 'lost' }),
    ];
    const won = stripe('charge.dispute.funds_reinstated', -10, dispute, {
      status: 'won',
      balance_transactions: [taken, back],
    });
    expect(posted(positionOf(STRIPE, [...held, ...captured, ...lost]))).toEqual({
      provider_receivable: -15,
      merchant_payable: 15,
    });
    expect(posted(positionOf(STRIPE, [...held, ...captured, won, ...lost]))).toEqual({
      provider_receivable: 45,
      merchant_payable: -45,
    });
  });
});
