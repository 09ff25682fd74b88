import type { ProblemCode } from '#kernel/problem.js';
import { withOvercapture } from './findings.js';
import type { PaymentStatus, PositionOptions } from './position.js';

/** What a merchant can ask of a payment. */
export type PaymentRequest = 'capture' | 'void' | 'refund';

export const PAYMENT_REQUESTS: readonly PaymentRequest[] = ['capture', 'void', 'refund'];

/** `while held`: as long as something of the authorised amount is neither captured nor given back. */
export type Legality = 'yes' | 'while held' | 'no';

/** What is legal when. How much is `limitOf`'s. */
export const TRANSITIONS: Readonly<Record<PaymentStatus, Readonly<Record<PaymentRequest, Legality>>>> = {
  authorised: { capture: 'while held', void: 'yes', refund: 'no' },
  failed: { capture: 'no', void: 'no', refund: 'no' },
  voided: { capture: 'no', void: 'no', refund: 'no' },
  expired: { capture: 'no', void: 'no', refund: 'no' },
  partially_captured: { capture: 'while held', void: 'while held', refund: 'yes' },
  captured: { capture: 'no', void: 'no', refund: 'yes' },
  partially_refunded: { capture: 'while held', void: 'while held', refund: 'yes' },
  refunded: { capture: 'while held', void: 'while held', refund: 'no' },
};

/** What of a payment decides. Amounts in minor units. */
export interface Asked {
  readonly status: PaymentStatus;
  readonly amountAuthorised: bigint;
  readonly amountCapturable: bigint;
  readonly amountCaptured: bigint;
  readonly amountRefunded: bigint;
  readonly amountDisputed: bigint;
}

export type Verdict =
  /** `amount`: what was asked for, or all that there is when none was. Of a void: what it gives back. */
  | { readonly legal: true; readonly amount: bigint }
  | {
      readonly legal: false;
      readonly code: Extract<ProblemCode, 'invalid_transition' | 'amount_exceeds_remaining'>;
      /** Says what would be legal. */
      readonly detail: string;
    };

/** `amount`: minor units above 0; absent: all that is left. A void is always of all that is left. */
export function judge(
  payment: Asked,
  { request, amount }: { readonly request: PaymentRequest; readonly amount?: bigint },
  options: PositionOptions,
): Verdict {
  if (!isLegal(payment, request)) {
    const detail = `A payment that is ${payment.status} cannot be ${PAST[request]}. ${describeLegal(payment, options)}`;
    return { legal: false, code: 'invalid_transition', detail };
  }
  if (request === 'void') return { legal: true, amount: payment.amountCapturable };
  const all = request === 'capture' ? payment.amountCapturable : limitOf(payment, 'refund', options);
  const wanted = amount ?? all;
  const limit = limitOf(payment, request, options);
  if (wanted <= limit && limit > 0n) return { legal: true, amount: wanted };
  const asked = amount === undefined ? 'Nothing can' : `${amount} cannot`;
  const detail = `${asked} be ${PAST[request]}: ${standing(payment)}. ${describeLegal(payment, options)}`;
  return { legal: false, code: 'amount_exceeds_remaining', detail };
}

const PAST = { capture: 'captured', void: 'voided', refund: 'refunded' } as const;

export function isLegal(payment: Asked, request: PaymentRequest): boolean {
  const legality = TRANSITIONS[payment.status][request];
  return legality === 'yes' || (legality === 'while held' && payment.amountCapturable > 0n);
}

/** The most that can be captured or refunded, in minor units: 0n when it is not legal at all. */
export function limitOf(
  payment: Asked,
  request: 'capture' | 'refund',
  { overcapturePercent }: PositionOptions,
): bigint {
  if (!isLegal(payment, request)) return 0n;
  const limit =
    request === 'capture'
      ? withOvercapture(payment.amountAuthorised, overcapturePercent) - payment.amountCaptured
      : payment.amountCaptured - payment.amountRefunded - payment.amountDisputed;
  return limit > 0n ? limit : 0n;
}

function standing({ amountAuthorised, amountCaptured, amountRefunded, amountDisputed }: Asked): string {
  return (
    `of ${amountAuthorised} authorised, ${amountCaptured} are captured, ` +
    `${amountRefunded} refunded and ${amountDisputed} disputed`
  );
}

function describeLegal(payment: Asked, options: PositionOptions): string {
  const [capture, refund] = [limitOf(payment, 'capture', options), limitOf(payment, 'refund', options)];
  const legal = [
    capture > 0n ? `captured, up to ${capture}` : undefined,
    isLegal(payment, 'void') ? 'voided' : undefined,
    refund > 0n ? `refunded, up to ${refund}` : undefined,
  ].filter((one) => one !== undefined);
  return legal.length > 0 ? `It can be ${legal.join('; or ')}.` : 'Nothing more can be asked of it.';
}
