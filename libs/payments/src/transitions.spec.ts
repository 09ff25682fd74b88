import { expect, test } from 'vitest';
import type { PaymentStatus } from './position.js';
import { type Asked, judge, limitOf, PAYMENT_REQUESTS, TRANSITIONS } from './transitions.js';

const NOTHING = {
  amountAuthorised: 100n,
  amountCapturable: 0n,
  amountCaptured: 0n,
  amountRefunded: 0n,
  amountDisputed: 0n,
};
const AUTHORISED: Asked = { ...NOTHING, status: 'authorised', amountCapturable: 100n };
const CAPTURED: Asked = { ...NOTHING, status: 'captured', amountCaptured: 100n };
const HALF: Asked = { ...NOTHING, status: 'partially_captured', amountCapturable: 40n, amountCaptured: 60n };
const NONE = { overcapturePercent: 0 };

test('for every status, what is legal while something is held, and when nothing is', () => {
  const legal = (status: PaymentStatus, amountCapturable: bigint): string =>
    PAYMENT_REQUESTS.filter(
      (request) => judge({ ...NOTHING, status, amountCapturable, amountCaptured: 60n }, { request }, NONE).legal,
    ).join(' ');
  const table = Object.fromEntries(
    (Object.keys(TRANSITIONS) as PaymentStatus[]).map((status) => [status, [legal(status, 40n), legal(status, 0n)]]),
  );
  expect(table).toEqual({
    authorised: ['capture void', 'void'],
    failed: ['', ''],
    voided: ['', ''],
    expired: ['', ''],
    partially_captured: ['capture void refund', 'refund'],
    captured: ['refund', 'refund'],
    partially_refunded: ['capture void refund', 'refund'],
    refunded: ['capture void', ''],
  });
});

test('an illegal request says what would be legal', () => {
  expect(judge(CAPTURED, { request: 'void' }, NONE)).toEqual({
    legal: false,
    code: 'invalid_transition',
    detail: 'A payment that is captured cannot be voided. It can be refunded, up to 100.',
  });
  expect(judge(AUTHORISED, { request: 'refund', amount: 5n }, NONE)).toMatchObject({
    code: 'invalid_transition',
    detail: 'A payment that is authorised cannot be refunded. It can be captured, up to 100; or voided.',
  });
  expect(judge({ ...NOTHING, status: 'voided' }, { request: 'capture' }, NONE)).toMatchObject({
    code: 'invalid_transition',
    detail: 'A payment that is voided cannot be captured. Nothing more can be asked of it.',
  });
});

test('a capture is of what is still held, by default all of it', () => {
  expect(judge(HALF, { request: 'capture' }, NONE)).toEqual({ legal: true, amount: 40n });
  expect(judge(HALF, { request: 'capture', amount: 40n }, NONE)).toEqual({ legal: true, amount: 40n });
  expect(judge(HALF, { request: 'capture', amount: 41n }, NONE)).toEqual({
    legal: false,
    code: 'amount_exceeds_remaining',
    detail:
      '41 cannot be captured: of 100 authorised, 60 are captured, 0 refunded and 0 disputed. ' +
      'It can be captured, up to 40; or voided; or refunded, up to 60.',
  });
});

test('a capture may be above what was authorised by the given percentage of it, rounded down', () => {
  const of = (amount: bigint, overcapturePercent: number) =>
    judge(
      { ...HALF, amountAuthorised: 99n, amountCapturable: 39n },
      { request: 'capture', amount },
      { overcapturePercent },
    );
  expect(of(48n, 10).legal).toBe(true);
  expect(of(49n, 10).legal).toBe(false);
  // Without an amount it is what is held, not what might be.
  expect(judge(HALF, { request: 'capture' }, { overcapturePercent: 50 })).toEqual({ legal: true, amount: 40n });
  expect(limitOf(CAPTURED, 'capture', { overcapturePercent: 50 })).toBe(0n);
});

test('a refund is of what was captured and is neither refunded nor disputed', () => {
  const payment: Asked = { ...CAPTURED, status: 'partially_refunded', amountRefunded: 20n, amountDisputed: 30n };
  expect(judge(payment, { request: 'refund' }, NONE)).toEqual({ legal: true, amount: 50n });
  expect(judge(payment, { request: 'refund', amount: 51n }, NONE)).toMatchObject({ code: 'amount_exceeds_remaining' });
  const disputed: Asked = { ...CAPTURED, amountDisputed: 100n };
  expect(judge(disputed, { request: 'refund' }, NONE)).toEqual({
    legal: false,
    code: 'amount_exceeds_remaining',
    detail:
      'Nothing can be refunded: of 100 authorised, 100 are captured, 0 refunded and 100 disputed. ' +
      'Nothing more can be asked of it.',
  });
  // Refunded and disputed together may be more than was captured.
  expect(limitOf({ ...disputed, amountRefunded: 60n }, 'refund', NONE)).toBe(0n);
});

test('a void gives back what is held', () => {
  expect(judge(HALF, { request: 'void' }, NONE)).toEqual({ legal: true, amount: 40n });
});
