import Stripe from 'stripe';
import { describe, expect, it } from 'vitest';
import type { Delivery } from '#platform/signatures.js';
import type { Fact } from '../facts.js';
import { STRIPE } from './stripe.js';

const SECRET = 'whsec_4kTq7dJ0bV2nYw9LmXr5sHcZ1uGp8eAf';
const KEYS = [Buffer.from(SECRET)];
const NOW_S = 1_764_240_000;
const CLOCKS = { nowMs: NOW_S * 1_000, toleranceMs: 300_000 };
const stripe = new Stripe('sk_test_none');

const CREATED = NOW_S - 3_600;
const BODY = JSON.stringify({
  id: 'evt_1',
  object: 'event',
  type: 'charge.succeeded',
  created: NOW_S,
  data: { object: {} },
});

function signedBy(secret: string, payload: string, timestamp = NOW_S): string {
  return stripe.webhooks.generateTestHeaderString({ payload, secret, timestamp });
}
function delivery(signature: string | string[] | undefined, body: string | Buffer = BODY): Delivery {
  return { body: Buffer.from(body), headers: { 'stripe-signature': signature } };
}
const verdict = (given: Delivery, keys = KEYS) => {
  const { accepted, ...rest } = STRIPE.verify(given, keys, CLOCKS);
  return accepted ? 'accepted' : (rest as { reason: string }).reason;
};

describe('a signature of Stripe’s', () => {
  it('is accepted as Stripe’s own package makes it, with the bytes as they came', () => {
    const given = delivery(signedBy(SECRET, BODY));
    expect(STRIPE.verify(given, KEYS, CLOCKS)).toEqual({ accepted: true, body: given.body, refused: 0 });
  });

  it('is what Stripe’s own package accepts', () => {
    const header = signedBy(SECRET, BODY, Math.floor(Date.now() / 1_000));
    expect(stripe.webhooks.constructEvent(BODY, header, SECRET).id).toBe('evt_1');
  });

  it.each([
    ['in another secret’s keys', () => delivery(signedBy(`${SECRET}x`, BODY)), 'wrong signature'],
    ['of other bytes', () => delivery(signedBy(SECRET, BODY), `${BODY} `), 'wrong signature'],
    [
      'of the same JSON, serialised anew',
      () => delivery(signedBy(SECRET, BODY), JSON.stringify(JSON.parse(BODY), null, 1)),
      'wrong signature',
    ],
    ['of one byte less', () => delivery(signedBy(SECRET, BODY), BODY.slice(0, -1)), 'wrong signature'],
    [
      'with another stamp than it was made with',
      () => delivery(signedBy(SECRET, BODY).replace(`t=${NOW_S}`, `t=${NOW_S + 1}`)),
      'wrong signature',
    ],
    ['that is 301 seconds old', () => delivery(signedBy(SECRET, BODY, NOW_S - 301)), 'stale'],
    ['that is 301 seconds early', () => delivery(signedBy(SECRET, BODY, NOW_S + 301)), 'stale'],
    ['that is 300 seconds old', () => delivery(signedBy(SECRET, BODY, NOW_S - 300)), 'accepted'],
    ['that is not there', () => delivery(undefined), 'unsigned'],
    ['that is empty', () => delivery(''), 'unsigned'],
    ['that stands in two headers', () => delivery([signedBy(SECRET, BODY), signedBy(SECRET, BODY)]), 'unsigned'],
    ['without a stamp', () => delivery(signedBy(SECRET, BODY).replace(/^t=\d+,/, '')), 'unsigned'],
    ['with two stamps', () => delivery(`t=${NOW_S - 1},${signedBy(SECRET, BODY)}`), 'unsigned'],
    [
      'with a stamp that is no number',
      () => delivery(signedBy(SECRET, BODY).replace(`t=${NOW_S}`, 't=1e9')),
      'unsigned',
    ],
    ['of the scheme v0 alone', () => delivery(signedBy(SECRET, BODY).replace('v1=', 'v0=')), 'unsigned'],
    ['that is cut', () => delivery(signedBy(SECRET, BODY).slice(0, -1)), 'unsigned'],
    [
      'beside wrong ones',
      () => delivery(signedBy(SECRET, BODY).replace('v1=', `v1=${'0'.repeat(64)},v1=`)),
      'accepted',
    ],
    [
      'beside one of the scheme v0',
      () => delivery(signedBy(SECRET, BODY).replace('v1=', `v0=${'0'.repeat(64)},v1=`)),
      'accepted',
    ],
    ['with spaces behind commas', () => delivery(signedBy(SECRET, BODY).replace(',', ', ')), 'accepted'],
  ])('%s is %s', (_what, given, expected) => {
    expect(verdict(given())).toBe(expected);
  });

  it('of either of two secrets is accepted while both are valid, and of none without secrets', () => {
    const given = delivery(signedBy(SECRET, BODY));
    const other = Buffer.from('whsec_another0another0another0');
    expect([verdict(given, [other, ...KEYS]), verdict(given, [other]), verdict(given, [])]).toEqual([
      'accepted',
      'wrong signature',
      'wrong signature',
    ]);
  });

  it('is made by secrets of Stripe’s form alone', () => {
    expect(STRIPE.keyOf(SECRET)).toEqual(Buffer.from(SECRET));
    for (const secret of ['', 'whsec_', 'sk_live_4kTq7dJ0bV2nYw9LmXr5sHcZ', ` ${SECRET}`, `${SECRET}\n`]) {
      expect(STRIPE.keyOf(secret)).toBeUndefined();
    }
  });
});

const CHARGE = {
  id: 'ch_1',
  object: 'charge',
  amount: 10_000,
  amount_captured: 10_000,
  amount_refunded: 0,
  captured: true,
  created: CREATED,
  currency: 'eur',
  paid: true,
  payment_intent: 'pi_1',
  refunded: false,
  status: 'succeeded',
};
const INTENT = {
  id: 'pi_1',
  object: 'payment_intent',
  amount: 10_000,
  amount_capturable: 0,
  amount_received: 10_000,
  canceled_at: null,
  cancellation_reason: null,
  created: CREATED - 60,
  currency: 'eur',
  last_payment_error: null,
  latest_charge: 'ch_1',
  status: 'succeeded',
};
const REFUND = {
  id: 're_1',
  object: 'refund',
  amount: 3_000,
  balance_transaction: 'txn_re',
  charge: 'ch_1',
  created: CREATED + 60,
  currency: 'eur',
  payment_intent: 'pi_1',
  reason: null,
  status: 'succeeded',
};
const WITHDRAWN = {
  id: 'txn_w',
  object: 'balance_transaction',
  amount: -10_000,
  fee: 1_500,
  net: -11_500,
  currency: 'eur',
  created: CREATED + 90,
};
const REINSTATED = { ...WITHDRAWN, id: 'txn_r', amount: 10_000, fee: -1_500, net: 11_500, created: CREATED + 190 };
const DISPUTE = {
  id: 'dp_1',
  object: 'dispute',
  amount: 10_000,
  balance_transactions: [] as object[],
  charge: 'ch_1',
  created: CREATED + 80,
  currency: 'eur',
  payment_intent: 'pi_1',
  reason: 'fraudulent',
  status: 'needs_response',
};

const event = (type: string, object: object, more: object = {}) =>
  Buffer.from(
    JSON.stringify({
      id: 'evt_1',
      object: 'event',
      api_version: '2025-10-29.clover',
      livemode: false,
      type,
      created: NOW_S,
      data: { object },
      ...more,
    }),
  );

/** What is told, in short: type, amount, and what else of it counts. */
function told(type: string, object: object, more: object = {}): unknown[] {
  const translation = STRIPE.translate(event(type, object, more), NOW_S * 1_000);
  if ('unreadable' in translation) return [translation.unreadable];
  return translation.told.map((one) => ('fact' in one ? inShort(one.paymentRef, one.fact) : one.ignored));
}
function inShort(
  paymentRef: string,
  { type, amount, amountKind, objectRef, stage, fee, currency, occurredAtMs }: Fact,
): string {
  const at = occurredAtMs / 1_000 === NOW_S ? 'at the event' : `at ${occurredAtMs / 1_000 - CREATED}`;
  return [paymentRef, type, amount ?? '', currency, amountKind, objectRef, stage, fee && `fee ${fee}`, at]
    .filter(Boolean)
    .join(' ');
}

const AUTHORISED = 'pi_1 authorised 10000 EUR cumulative at 0';

describe('what Stripe tells', () => {
  it.each([
    ['charge.succeeded', 'captured at once', {}, [AUTHORISED, 'pi_1 captured 10000 EUR cumulative at 0']],
    ['charge.succeeded', 'authorised', { captured: false, amount_captured: 0 }, [AUTHORISED]],
    [
      'charge.succeeded',
      'authorised, of an API without amount_captured',
      { captured: false, amount_captured: undefined },
      [AUTHORISED],
    ],
    [
      'charge.succeeded',
      'captured at once, of an API without amount_captured',
      { amount_captured: undefined },
      [AUTHORISED, 'pi_1 captured 10000 EUR cumulative at 0'],
    ],
    ['charge.captured', 'captured later', {}, [AUTHORISED, 'pi_1 captured 10000 EUR cumulative at the event']],
    [
      'charge.captured',
      'captured in part: the rest counts as refunded to Stripe',
      { amount_captured: 6_000, amount_refunded: 4_000 },
      [AUTHORISED, 'pi_1 captured 6000 EUR cumulative at the event'],
    ],
    [
      'charge.updated',
      'captured for the second time',
      { amount_captured: 8_000, captured: false },
      [AUTHORISED, 'pi_1 captured 8000 EUR cumulative at the event'],
    ],
    [
      'charge.refunded',
      'refunded in part',
      { amount_refunded: 3_000 },
      [AUTHORISED, 'pi_1 captured 10000 EUR cumulative at the event', 'pi_1 refunded 3000 EUR cumulative at the event'],
    ],
    [
      'charge.refunded',
      'captured in part, then refunded in part',
      { amount_captured: 6_000, amount_refunded: 5_000 },
      [AUTHORISED, 'pi_1 captured 6000 EUR cumulative at the event', 'pi_1 refunded 1000 EUR cumulative at the event'],
    ],
    [
      'charge.refunded',
      'given back before it was captured',
      { captured: false, amount_captured: 0, amount_refunded: 10_000 },
      [AUTHORISED, 'pi_1 voided EUR delta at the event'],
    ],
    [
      'charge.expired',
      'not captured in time',
      { captured: false, amount_captured: 0, amount_refunded: 10_000 },
      [AUTHORISED, 'pi_1 expired EUR delta at the event'],
    ],
    [
      'charge.failed',
      'declined',
      { status: 'failed', captured: false, amount_captured: 0, failure_code: 'card_declined' },
      ['pi_1 authorisation_failed 10000 EUR delta at 0'],
    ],
    ['charge.succeeded', 'still pending', { status: 'pending' }, ['the charge is pending: nothing is decided']],
    [
      'charge.captured',
      'without a PaymentIntent, in part',
      { payment_intent: null, amount_captured: 6_000, amount_refunded: 4_000 },
      [
        'ch_1 authorised 10000 EUR cumulative at 0',
        'ch_1 captured 6000 EUR cumulative at the event',
        'ch_1 voided EUR delta at the event',
      ],
    ],
    [
      'charge.succeeded',
      'with its PaymentIntent expanded',
      { payment_intent: { id: 'pi_1', object: 'payment_intent' }, amount_captured: 0, captured: false },
      [AUTHORISED],
    ],
  ])('with %s of a charge %s', (type, _what, change, expected) => {
    expect(told(type, { ...CHARGE, ...change })).toEqual(expected);
  });

  it.each([
    [
      'payment_intent.amount_capturable_updated',
      'authorised',
      { status: 'requires_capture', amount_capturable: 10_000, amount_received: 0 },
      ['pi_1 authorised 10000 EUR cumulative at the event'],
    ],
    [
      'payment_intent.amount_capturable_updated',
      'captured in part, and more to come',
      { status: 'requires_capture', amount_capturable: 4_000, amount_received: 6_000 },
      ['pi_1 authorised 10000 EUR cumulative at the event', 'pi_1 captured 6000 EUR cumulative at the event'],
    ],
    [
      'payment_intent.succeeded',
      'captured',
      {},
      ['pi_1 authorised 10000 EUR cumulative at the event', 'pi_1 captured 10000 EUR cumulative at the event'],
    ],
    [
      'payment_intent.succeeded',
      'captured in part, for good',
      { amount_received: 6_000 },
      [
        'pi_1 authorised 10000 EUR cumulative at the event',
        'pi_1 captured 6000 EUR cumulative at the event',
        'pi_1 voided EUR delta at the event',
      ],
    ],
    [
      'payment_intent.canceled',
      'cancelled by the merchant',
      {
        status: 'canceled',
        amount_received: 0,
        canceled_at: CREATED + 5,
        cancellation_reason: 'requested_by_customer',
      },
      ['pi_1 voided EUR delta at 5'],
    ],
    [
      'payment_intent.canceled',
      'expired',
      { status: 'canceled', amount_received: 0, canceled_at: CREATED + 5, cancellation_reason: 'expired' },
      ['pi_1 expired EUR delta at 5'],
    ],
    [
      'payment_intent.payment_failed',
      'declined',
      {
        status: 'requires_payment_method',
        amount_received: 0,
        last_payment_error: { code: 'card_declined', decline_code: 'insufficient_funds' },
      },
      ['pi_1 authorisation_failed 10000 EUR delta at the event'],
    ],
  ])('with %s of a PaymentIntent %s', (type, _what, change, expected) => {
    expect(told(type, { ...INTENT, ...change })).toEqual(expected);
  });

  it.each([
    ['refund.created', 'pending', { status: 'pending' }, ['pi_1 refunded 3000 EUR delta re_1 at 60']],
    ['refund.updated', 'that succeeded', {}, ['pi_1 refunded 3000 EUR delta re_1 at 60']],
    [
      'charge.refund.updated',
      'that failed',
      { status: 'failed', failure_reason: 'expired_or_canceled_card' },
      ['pi_1 refund_failed 3000 EUR delta re_1 at the event'],
    ],
    ['refund.failed', 'that failed', { status: 'failed' }, ['pi_1 refund_failed 3000 EUR delta re_1 at the event']],
    [
      'refund.updated',
      'that was cancelled',
      { status: 'canceled' },
      ['pi_1 refund_failed 3000 EUR delta re_1 at the event'],
    ],
    [
      'refund.created',
      'that is the rest of a hold',
      { balance_transaction: null },
      ['it moved nothing of the balance: a hold was released, or it has yet to begin'],
    ],
    [
      'refund.created',
      'of a charge without a PaymentIntent',
      { payment_intent: null },
      ['ch_1 refunded 3000 EUR delta re_1 at 60'],
    ],
    [
      'refund.created',
      'of nothing',
      { payment_intent: null, charge: null },
      ['it names neither a PaymentIntent nor a charge'],
    ],
  ])('with %s of a refund %s', (type, _what, change, expected) => {
    expect(told(type, { ...REFUND, ...change })).toEqual(expected);
  });

  const OPENED = 'pi_1 dispute_opened 10000 EUR delta dp_1 chargeback at 80';
  const TAKEN = [
    'pi_1 dispute_funds_withdrawn 10000 EUR cumulative dp_1 at 90',
    'pi_1 dispute_fee EUR cumulative dp_1 fee 1500 at 90',
  ];
  it.each([
    ['created', 'opened', {}, [OPENED]],
    [
      'created',
      'that only asks',
      { status: 'warning_needs_response' },
      ['pi_1 dispute_opened 10000 EUR delta dp_1 inquiry at 80'],
    ],
    [
      'closed',
      'that only asked',
      { status: 'warning_closed' },
      ['pi_1 dispute_opened 10000 EUR delta dp_1 inquiry at 80', 'pi_1 dispute_won 10000 EUR delta dp_1 at the event'],
    ],
    [
      'updated',
      'under appeal',
      { status: 'appeal_under_review' },
      ['pi_1 dispute_opened 10000 EUR delta dp_1 pre_arbitration at 80'],
    ],
    ['funds_withdrawn', 'whose money is gone', { balance_transactions: [WITHDRAWN] }, [OPENED, ...TAKEN]],
    [
      'funds_withdrawn',
      'whose money is gone in two parts',
      {
        balance_transactions: [
          { ...WITHDRAWN, amount: -6_000, fee: 0 },
          { ...WITHDRAWN, amount: -4_000, created: CREATED + 95 },
        ],
      },
      [
        OPENED,
        'pi_1 dispute_funds_withdrawn 10000 EUR cumulative dp_1 at 95',
        'pi_1 dispute_fee EUR cumulative dp_1 fee 1500 at 95',
      ],
    ],
    [
      'closed',
      'that was prevented',
      { status: 'prevented' },
      ['pi_1 dispute_opened 10000 EUR delta dp_1 inquiry at 80', 'pi_1 dispute_won 10000 EUR delta dp_1 at the event'],
    ],
    [
      'funds_withdrawn',
      'without its transactions',
      {},
      [OPENED, 'pi_1 dispute_funds_withdrawn 10000 EUR cumulative dp_1 at the event'],
    ],
    [
      'funds_withdrawn',
      'settled in another currency',
      { balance_transactions: [{ ...WITHDRAWN, amount: -11_203, currency: 'usd' }] },
      [OPENED, 'pi_1 dispute_funds_withdrawn 10000 EUR cumulative dp_1 at 90'],
    ],
    [
      'funds_reinstated',
      'lost, whose money came back',
      { status: 'lost', balance_transactions: [WITHDRAWN, REINSTATED] },
      [
        OPENED,
        TAKEN[0],
        'pi_1 dispute_funds_reinstated 10000 EUR cumulative dp_1 at 190',
        TAKEN[1],
        'pi_1 dispute_lost 10000 EUR delta dp_1 at the event',
      ],
    ],
    [
      'closed',
      'lost',
      { status: 'lost', balance_transactions: [WITHDRAWN] },
      [OPENED, ...TAKEN, 'pi_1 dispute_lost 10000 EUR delta dp_1 at the event'],
    ],
    [
      'closed',
      'won',
      { status: 'won', balance_transactions: [WITHDRAWN, REINSTATED] },
      [
        OPENED,
        TAKEN[0],
        'pi_1 dispute_funds_reinstated 10000 EUR cumulative dp_1 at 190',
        TAKEN[1],
        'pi_1 dispute_won 10000 EUR delta dp_1 at the event',
      ],
    ],
  ])('with charge.dispute.%s of a dispute %s', (type, _what, change, expected) => {
    expect(told(`charge.dispute.${type}`, { ...DISPUTE, ...change })).toEqual(expected);
  });

  it.each([
    [
      'an amount that is not exact',
      'charge.succeeded',
      { ...CHARGE, currency: 'isk', amount: 550 },
      /no such fraction/,
    ],
    ['an amount that is no number', 'charge.succeeded', { ...CHARGE, amount: '10000' }, /data.object.amount/],
    ['no currency', 'refund.created', { ...REFUND, currency: null }, /data.object.currency/],
    ['a currency of nobody’s', 'refund.created', { ...REFUND, currency: 'xxz' }, /no currency/],
    ['another type of event', 'customer.created', { id: 'cus_1' }, /tell nothing of a payment/],
    ['a type that is a name of JavaScript’s', 'constructor', {}, /tell nothing of a payment/],
  ])('is kept and moves nothing with %s', (_what, type, object, why) => {
    expect(told(type, object)).toEqual([expect.stringMatching(why)]);
  });

  it.each(['', '{', 'null', '[]', '{"type":"charge.succeeded"}', '\xff'])('cannot be read from %j', (text) => {
    expect(STRIPE.translate(Buffer.from(text, 'latin1'), 0)).toEqual({ unreadable: 'it is no event of Stripe’s' });
  });
});

describe('an identity', () => {
  const idsOf = (type: string, object: object, more: object = {}) => {
    const translation = STRIPE.translate(event(type, object, more), 0);
    return 'told' in translation ? translation.told.map((one) => ('fact' in one ? one.fact.id : '')) : [];
  };

  it('is the same for a change that two events tell', () => {
    const twice = ['evt_1', 'evt_2'].map((id) =>
      idsOf('charge.refunded', { ...CHARGE, amount_refunded: 3_000 }, { id }),
    );
    expect(twice[0]).toEqual(twice[1]);
    const refunds = ['refund.created', 'refund.updated', 'charge.refund.updated'].map((type, at) =>
      idsOf(type, REFUND, { created: NOW_S + at }),
    );
    expect(new Set(refunds.flat()).size).toBe(1);
  });

  it('is another one for another amount, outcome or object', () => {
    const ids = [
      ...idsOf('charge.refunded', { ...CHARGE, amount_refunded: 3_000 }).slice(-1),
      ...idsOf('charge.refunded', { ...CHARGE, amount_refunded: 5_000 }).slice(-1),
      ...idsOf('refund.created', REFUND),
      ...idsOf('refund.created', { ...REFUND, id: 're_2' }),
      ...idsOf('refund.failed', { ...REFUND, status: 'failed' }),
    ];
    expect(new Set(ids).size).toBe(5);
  });

  it('has one content: whatever a fact says is in it, or follows from its object', () => {
    const seen = new Map<string, string>();
    for (const created of [NOW_S, NOW_S + 1]) {
      for (const [type, object] of [
        ['charge.succeeded', CHARGE],
        ['charge.captured', CHARGE],
        ['charge.refunded', { ...CHARGE, amount_refunded: 3_000 }],
        ['payment_intent.succeeded', INTENT],
        ['refund.failed', { ...REFUND, status: 'failed' }],
        ['charge.dispute.closed', { ...DISPUTE, status: 'lost', balance_transactions: [WITHDRAWN] }],
        ['charge.dispute.updated', { ...DISPUTE, status: 'lost', balance_transactions: [WITHDRAWN] }],
      ] as const) {
        const translation = STRIPE.translate(event(type, object, { created }), 0);
        if (!('told' in translation)) throw new Error('unreadable');
        for (const one of translation.told) {
          if (!('fact' in one)) throw new Error(one.ignored);
          const { reason: _, ...content } = one.fact;
          const text = JSON.stringify(content, (_key, value) => (typeof value === 'bigint' ? String(value) : value));
          expect(seen.get(one.fact.id) ?? text).toBe(text);
          seen.set(one.fact.id, text);
        }
      }
    }
    expect(seen.size).toBeGreaterThan(10);
  });
});
