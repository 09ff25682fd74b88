import { Webhook } from 'standardwebhooks';
import { describe, expect, it } from 'vitest';
import { newKey, secretOf } from '#platform/standard-webhooks.js';
import { genericProvider } from './generic.js';
import { isProviderName, providerOf } from './providers.js';

const ACME = genericProvider('acme');
const key = newKey();
const NOW_S = 1_764_240_000;
const CLOCKS = { nowMs: NOW_S * 1_000, toleranceMs: 300_000 };
const EVENT = {
  event_id: 'e1',
  payment_ref: 'p1',
  type: 'captured',
  amount: '1250',
  currency: 'EUR',
  occurred_at: '2026-11-27T12:00:00+01:00',
};
const BODY = JSON.stringify(EVENT);

function headersOf(body: string, { by = key, id = 'msg_1', atS = NOW_S } = {}) {
  const signature = new Webhook(secretOf(by)).sign(id, new Date(atS * 1_000), body);
  return { 'webhook-id': id, 'webhook-timestamp': String(atS), 'webhook-signature': signature };
}
function verdict(headers: Record<string, string | undefined>, body = BODY, keys = [key]): string {
  const given = ACME.verify({ body: Buffer.from(body), headers }, keys, CLOCKS);
  return given.accepted ? 'accepted' : given.reason;
}

describe('a signature of Standard Webhooks', () => {
  it.each([
    ['as its own package makes it', headersOf(BODY), 'accepted'],
    [
      'among others',
      { ...headersOf(BODY), 'webhook-signature': `v1a,xx v1,AAAA ${headersOf(BODY)['webhook-signature']}` },
      'accepted',
    ],
    ['of another key', headersOf(BODY, { by: newKey() }), 'wrong signature'],
    ['of other bytes', headersOf(`${BODY} `), 'wrong signature'],
    ['under another id', { ...headersOf(BODY), 'webhook-id': 'msg_2' }, 'wrong signature'],
    ['under another time', { ...headersOf(BODY), 'webhook-timestamp': String(NOW_S + 1) }, 'wrong signature'],
    ['that is 300 seconds old', headersOf(BODY, { atS: NOW_S - 300 }), 'accepted'],
    ['that is 301 seconds old', headersOf(BODY, { atS: NOW_S - 301 }), 'stale'],
    ['that is 301 seconds early', headersOf(BODY, { atS: NOW_S + 301 }), 'stale'],
    ['without an id', { ...headersOf(BODY), 'webhook-id': undefined }, 'unsigned'],
    ['without a time', { ...headersOf(BODY), 'webhook-timestamp': undefined }, 'unsigned'],
    ['of another version', { ...headersOf(BODY), 'webhook-signature': 'v2,AAAA' }, 'unsigned'],
    ['that is not there', {}, 'unsigned'],
  ])('%s', (_what, headers, expected) => {
    expect(verdict(headers)).toBe(expected);
  });

  it('of either of two keys is accepted while both are valid', () => {
    expect(verdict(headersOf(BODY), BODY, [newKey(), key])).toBe('accepted');
  });

  it('is made by secrets of its form alone', () => {
    expect(ACME.keyOf(secretOf(key))).toEqual(key);
    for (const secret of [
      '',
      'whsec_',
      key.toString('base64'),
      'whsec_AAAA',
      `whsec_${'A'.repeat(100)}`,
      `${secretOf(key)}\n`,
      'whsec_a-b_'.repeat(4),
    ]) {
      expect(ACME.keyOf(secret)).toBeUndefined();
    }
  });
});

const told = (given: unknown) => {
  const translation = ACME.translate(Buffer.from(JSON.stringify(given)), 0);
  return 'told' in translation ? translation.told : translation.unreadable;
};

describe('the contract’s own form', () => {
  it('is a fact, with all that can be said', () => {
    const given = {
      ...EVENT,
      provider: 'acme',
      sequence: 2,
      object_ref: 'c1',
      amount_kind: 'cumulative',
      fee: 30,
      reason: 'r',
    };
    expect(told(given)).toEqual([
      {
        what: 'captured',
        paymentRef: 'p1',
        eventId: 'e1',
        fact: {
          id: 'e1',
          source: 'provider',
          type: 'captured',
          amount: 1250n,
          currency: 'EUR',
          amountKind: 'cumulative',
          objectRef: 'c1',
          sequence: 2,
          fee: 30n,
          reason: 'r',
          occurredAtMs: Date.parse('2026-11-27T11:00:00Z'),
        },
      },
    ]);
  });

  it('is one event or a list, of which bad ones stand alone', () => {
    expect(told({ events: [EVENT, { ...EVENT, type: 'paid' }, 7, { ...EVENT, event_id: 'e2' }] })).toMatchObject([
      { fact: { id: 'e1' } },
      { ignored: 'type is not as the contract has it' },
      { ignored: 'it is not as the contract has it' },
      { fact: { id: 'e2' } },
    ]);
  });

  it.each([
    ['another provider', { provider: 'acne' }, 'it is of another provider than acme'],
    ['a field of nobody’s', { amonut: 1 }, 'it is not as the contract has it'],
    ['half a cent', { amount: 12.5 }, 'amount is not as the contract has it'],
    ['a sign', { amount: '-1' }, 'amount is not as the contract has it'],
    ['too much', { amount: '9007199254740992' }, 'amount is not as the contract has it'],
    ['no currency of ISO 4217', { currency: 'eur' }, 'currency is not as the contract has it'],
    ['no time', { occurred_at: 'today' }, 'occurred_at is not as the contract has it'],
    ['NUL', { payment_ref: 'a\0b' }, 'payment_ref is not as the contract has it'],
    ['no id', { event_id: '' }, 'event_id is not as the contract has it'],
    ['an id that is a request’s', { event_id: 'request:1' }, 'event_id is not as the contract has it'],
    ['an id that is a contradiction’s', { event_id: 'contradiction:1' }, 'event_id is not as the contract has it'],
  ])('with %s moves nothing', (_what, change, ignored) => {
    expect(told({ ...EVENT, ...change })).toEqual([{ what: expect.any(String), ignored }]);
  });

  it('cannot be read from what is no object, or from events that are no list', () => {
    for (const text of ['', 'no', '7', 'null', '[]'])
      expect(ACME.translate(Buffer.from(text), 0)).toHaveProperty('unreadable');
    for (const given of [
      { events: [] },
      { events: 7 },
      { events: [EVENT], provider: 'acme' },
      { events: Array(1_001).fill(EVENT) },
    ]) {
      expect(told(given)).toBe('events must be a list of 1 to 1000, and stand alone');
    }
  });
});

it('belongs to every name that is not known, and `payment` is none', () => {
  expect(['stripe', 'adyen', 'acme', 'a-b_9', 'generic'].filter(isProviderName)).toHaveLength(5);
  expect(['payment', '', '-a', 'Stripe', 'a/b', 'a'.repeat(65), 'a b'].filter(isProviderName)).toEqual([]);
  expect(new Set(['stripe', 'adyen', 'acme', 'generic'].map((name) => providerOf(name).secretForm)).size).toBe(3);
});
