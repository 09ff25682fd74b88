import { hmacValidator } from '@adyen/api-library';
import { describe, expect, it } from 'vitest';
import type { Fact } from '../facts.js';
import { ADYEN } from './adyen.js';
import { FACTS_BY_CODE } from './adyen-codes.js';

const SECRET = '44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056';
const KEYS = [Buffer.from(SECRET, 'hex')];
const RECEIVED_MS = Date.parse('2026-11-27T12:00:00Z');
const CLOCKS = { nowMs: RECEIVED_MS, toleranceMs: 300_000 };
const EVENT_DATE = '2026-11-27T12:30:00+01:00';
const PAYMENT = 'GZ7T8WKHKN2KGK82';
const CHANGE = 'NC6HT9CRT65ZGN82';

interface Item extends Record<string, unknown> {
  amount: { value: number; currency: string };
  additionalData?: Record<string, unknown>;
}
const ITEM: Item = {
  amount: { currency: 'EUR', value: 10_000 },
  eventCode: 'AUTHORISATION',
  eventDate: EVENT_DATE,
  merchantAccountCode: 'ShopECOM',
  merchantReference: 'order:7',
  operations: ['CANCEL', 'CAPTURE', 'REFUND'],
  paymentMethod: 'visa',
  pspReference: PAYMENT,
  originalReference: '',
  reason: '033899:1111:03/2030',
  success: 'true',
};

/** Signed by Adyen's own package. */
function signed(change: Partial<Item> = {}): Item {
  const item = { ...ITEM, ...change };
  const hmacSignature = new hmacValidator().calculateHmac(item as never, SECRET);
  return { ...item, additionalData: { ...item.additionalData, hmacSignature } };
}
const bodyOf = (...items: unknown[]) =>
  Buffer.from(
    JSON.stringify({
      live: 'false',
      notificationItems: items.map((NotificationRequestItem) => ({ NotificationRequestItem })),
    }),
  );
const verify = (body: Buffer, keys = KEYS) => ADYEN.verify({ body, headers: {} }, keys, CLOCKS);

describe('a signature of Adyen’s', () => {
  it('is accepted as Adyen’s own package makes it, and the bytes are kept as they came', () => {
    const body = bodyOf(signed(), signed({ eventCode: 'CAPTURE', pspReference: CHANGE, originalReference: PAYMENT }));
    expect(verify(body)).toEqual({ accepted: true, body, refused: 0 });
  });

  it.each([
    [
      'Adyen’s own example',
      '44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056',
      'coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=',
      {
        amount: { currency: 'EUR', value: 1_130 },
        pspReference: '7914073381342284',
        originalReference: '',
        merchantAccountCode: 'TestMerchant',
        merchantReference: 'TestPayment-1407325143704',
        eventCode: 'AUTHORISATION',
        success: 'true',
      },
    ],
  ])('is %s', (_what, secret, hmacSignature, item) => {
    const verdict = verify(bodyOf({ ...item, additionalData: { hmacSignature } }), [Buffer.from(secret, 'hex')]);
    expect(verdict.accepted).toBe(true);
  });

  it('of items in whatever serialisation is accepted: fields are signed, and not bytes', () => {
    const body = Buffer.from(JSON.stringify(JSON.parse(bodyOf(signed()).toString()), null, 2));
    expect(verify(body)).toEqual({ accepted: true, body, refused: 0 });
  });

  it.each([
    ['pspReference', { pspReference: 'GZ7T8WKHKN2KGK83' }],
    ['originalReference', { originalReference: CHANGE }],
    ['merchantAccountCode', { merchantAccountCode: 'OtherECOM' }],
    ['merchantReference', { merchantReference: 'order:8' }],
    ['the amount', { amount: { currency: 'EUR', value: 100_000 } }],
    ['the currency', { amount: { currency: 'KWD', value: 10_000 } }],
    ['eventCode', { eventCode: 'CAPTURE' }],
    ['success', { success: 'false' }],
    ['where a colon stands', { pspReference: `${PAYMENT}:`, originalReference: undefined }],
    ['the signature', { additionalData: { hmacSignature: 'coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=' } }],
    ['that there is one', { additionalData: {} }],
  ])('is wrong when %s was changed', (_what, change) => {
    expect(verify(bodyOf({ ...signed(), ...change }))).toEqual({ accepted: false, reason: 'wrong signature' });
  });

  it('that is missing from a body which is no notification is none', () => {
    for (const text of ['', '{}', 'null', '{"notificationItems":[]}', '{"notificationItems":"x"}', '[[[[']) {
      expect(verify(Buffer.from(text))).toEqual({ accepted: false, reason: 'unsigned' });
    }
  });

  it('is asked of each item: the good ones are kept, the others counted', () => {
    const forged = { ...signed(), amount: { currency: 'EUR', value: 999_999 } };
    const verdict = verify(bodyOf(signed(), forged, 7, signed({ success: 'false' })));
    expect(verdict).toMatchObject({ accepted: true, refused: 2 });
    const kept = verdict.accepted ? JSON.parse(verdict.body.toString()).notificationItems : [];
    expect(kept).toEqual(
      [signed(), signed({ success: 'false' })].map((NotificationRequestItem) => ({ NotificationRequestItem })),
    );
  });

  it('of either of two keys is accepted while both are valid', () => {
    const other = Buffer.alloc(32, 7);
    expect([verify(bodyOf(signed()), [other, ...KEYS]).accepted, verify(bodyOf(signed()), [other]).accepted]).toEqual([
      true,
      false,
    ]);
    expect(ADYEN.keyOf(SECRET)).toEqual(KEYS[0]);
    for (const secret of ['', SECRET.slice(1), `${SECRET}00`, 'whsec_x', `${SECRET}\n`])
      expect(ADYEN.keyOf(secret)).toBeUndefined();
  });
});

function told(change: Partial<Item>, receivedAtMs = RECEIVED_MS): unknown[] {
  const translation = ADYEN.translate(bodyOf(signed(change)), receivedAtMs);
  if ('unreadable' in translation) return [translation.unreadable];
  return translation.told.map((one) => ('fact' in one ? inShort(one.paymentRef, one.fact) : one.ignored));
}
function inShort(paymentRef: string, { type, amount, currency, amountKind, objectRef, stage }: Fact): string {
  return [
    paymentRef === PAYMENT ? '' : paymentRef,
    type,
    amount,
    currency,
    amountKind === 'delta' ? '' : amountKind,
    objectRef,
    stage,
  ]
    .filter(Boolean)
    .join(' ');
}

describe('what Adyen tells', () => {
  it.each([
    ['AUTHORISATION', 'true', ['authorised 10000 EUR']],
    ['AUTHORISATION', 'false', ['authorisation_failed 10000 EUR']],
  ])('with %s, success %s', (eventCode, success, expected) => {
    expect(told({ eventCode, success })).toEqual(expected);
  });

  const REFUSED = ['it was not successful, and changes nothing'];
  const MOVES_NOTHING = ['events of this code move nothing'];
  it.each([
    ['AUTHORISATION_ADJUSTMENT', ['authorisation_adjusted 10000 EUR cumulative'], REFUSED],
    ['CANCELLATION', ['voided EUR'], REFUSED],
    ['TECHNICAL_CANCEL', ['voided EUR'], REFUSED],
    ['EXPIRE', ['expired EUR'], REFUSED],
    ['CAPTURE', [`captured 10000 EUR ${CHANGE}`], [`capture_failed 10000 EUR ${CHANGE}`]],
    ['CAPTURE_FAILED', [`capture_failed 10000 EUR ${CHANGE}`], REFUSED],
    ['REFUND', [`refunded 10000 EUR ${CHANGE}`], [`refund_failed 10000 EUR ${CHANGE}`]],
    ['REFUND_WITH_DATA', [`refunded 10000 EUR ${CHANGE}`], [`refund_failed 10000 EUR ${CHANGE}`]],
    ['REFUND_FAILED', [`refund_failed 10000 EUR ${CHANGE}`], REFUSED],
    ['REFUNDED_REVERSED', [`refund_reversed 10000 EUR ${CHANGE}`], REFUSED],
    ['CANCEL_OR_REFUND', ['voided EUR', `refunded 10000 EUR ${CHANGE}`], REFUSED],
    ['REQUEST_FOR_INFORMATION', [`dispute_opened 10000 EUR ${CHANGE} inquiry`], REFUSED],
    ['NOTIFICATION_OF_CHARGEBACK', [`dispute_opened 10000 EUR ${CHANGE} chargeback`], REFUSED],
    [
      'CHARGEBACK',
      [`dispute_opened 10000 EUR ${CHANGE} chargeback`, `dispute_funds_withdrawn 10000 EUR ${CHANGE} chargeback`],
      REFUSED,
    ],
    [
      'CHARGEBACK_REVERSED',
      [`dispute_won 10000 EUR ${CHANGE} chargeback`, `dispute_funds_reinstated 10000 EUR ${CHANGE} chargeback`],
      REFUSED,
    ],
    [
      'SECOND_CHARGEBACK',
      [
        `dispute_opened 10000 EUR ${CHANGE} second_chargeback`,
        `dispute_lost 10000 EUR ${CHANGE} second_chargeback`,
        `dispute_funds_withdrawn 10000 EUR ${CHANGE} second_chargeback`,
      ],
      REFUSED,
    ],
    [
      'PREARBITRATION_WON',
      [
        `dispute_won 10000 EUR ${CHANGE} pre_arbitration`,
        `dispute_funds_reinstated 10000 EUR ${CHANGE} pre_arbitration`,
      ],
      REFUSED,
    ],
    ['PREARBITRATION_LOST', [`dispute_lost 10000 EUR ${CHANGE} pre_arbitration`], REFUSED],
    ['DISPUTE_DEFENSE_PERIOD_ENDED', MOVES_NOTHING, MOVES_NOTHING],
    ['INFORMATION_SUPPLIED', MOVES_NOTHING, MOVES_NOTHING],
    ['NOTIFICATION_OF_FRAUD', MOVES_NOTHING, MOVES_NOTHING],
    ['REPORT_AVAILABLE', MOVES_NOTHING, MOVES_NOTHING],
  ])('with %s', (eventCode, done, refused) => {
    const change = { eventCode, pspReference: CHANGE, originalReference: PAYMENT };
    expect(told(change)).toEqual(done);
    expect(told({ ...change, success: 'false' })).toEqual(refused);
  });

  it.each([
    ['a change of no payment', { eventCode: 'CAPTURE' }, 'it does not say which payment it changes'],
    ['a currency of nobody’s', { amount: { currency: 'XXZ', value: 1 } }, '"XXZ" is no currency of ISO 4217'],
    [
      'an amount that is not exact',
      { amount: { currency: 'CLP', value: 150 } },
      'CLP has no such fraction: the amount is not exact in minor units',
    ],
  ])('is kept and moves nothing with %s', (_what, change, why) => {
    expect(told(change)).toEqual([why]);
  });

  it.each(Object.keys(FACTS_BY_CODE).flatMap((eventCode) => ['true', 'false'].map((success) => [eventCode, success])))(
    'with %s, success %s, is the same whatever was done to fields that are not signed, but for when it happened',
    (eventCode, success) => {
      const asSent = signed({ eventCode, success, pspReference: CHANGE, originalReference: PAYMENT });
      const factsOf = (item: object) => {
        const verdict = verify(bodyOf(item));
        const translation = ADYEN.translate(verdict.accepted ? verdict.body : Buffer.alloc(0), RECEIVED_MS);
        if (!('told' in translation)) throw new Error('unreadable');
        return translation.told.map((one) => ({ ...one, fact: { ...('fact' in one && one.fact), occurredAtMs: 0 } }));
      };
      const expected = factsOf(asSent);
      expect(expected.length).toBeGreaterThan(0);
      for (const unsigned of [
        { eventDate: '1999-01-01T00:00:00Z' },
        { eventDate: 7 },
        { reason: 'none' },
        { paymentMethod: 'ideal', operations: [] },
        { additionalData: { ...asSent.additionalData, disputeStatus: 'Won', 'modification.action': 'cancel' } },
        { additionalData: { ...asSent.additionalData, disputeStatus: 'Lost', 'modification.action': 'refund' } },
        { additionalData: { ...asSent.additionalData, autoDefended: 'true', authorisedAmountValue: '1' } },
      ]) {
        expect(factsOf({ ...asSent, ...unsigned })).toEqual(expected);
      }
    },
  );

  it('happened when eventDate says, if that can be believed, and otherwise when it came', () => {
    const at = (eventDate: unknown) => {
      const translation = ADYEN.translate(bodyOf(signed({ eventDate })), RECEIVED_MS);
      const [one] = 'told' in translation ? translation.told : [];
      return one && 'fact' in one ? one.fact.occurredAtMs - RECEIVED_MS : undefined;
    };
    expect(at(EVENT_DATE)).toBe(-1_800_000);
    expect(at('2026-11-27T12:01:00Z')).toBe(60_000);
    for (const eventDate of [
      '2026-11-27T12:01:01Z',
      '2036-11-27T12:00:00Z',
      '2026-09-01T00:00:00Z',
      '0001-01-01T00:00:00Z',
      'soon',
      '7',
      undefined,
      null,
      7,
    ]) {
      expect([eventDate, at(eventDate)]).toEqual([eventDate, 0]);
    }
  });

  it('has the identity of what is signed: pspReference, eventCode and success', () => {
    const idsOf = (change: Partial<Item>) => {
      const translation = ADYEN.translate(bodyOf(signed(change)), RECEIVED_MS);
      return 'told' in translation ? translation.told.map((one) => 'fact' in one && one.fact.id) : [];
    };
    expect(idsOf({})).toEqual([`${PAYMENT}:AUTHORISATION:true:authorised`]);
    expect(idsOf({ success: 'false' })).toEqual([`${PAYMENT}:AUTHORISATION:false:authorisation_failed`]);
    expect(
      new Set(idsOf({ eventCode: 'SECOND_CHARGEBACK', pspReference: CHANGE, originalReference: PAYMENT })).size,
    ).toBe(3);
  });
});
