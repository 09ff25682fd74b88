import type { Refused } from '#ledger/posting/command.js';
import { refuse } from '#ledger/posting/entries.js';
import { withOvercapture } from './findings.js';
import type { Position, PositionOptions } from './position.js';

/** What a merchant may ask of a payment. Without an amount: all that is left. */
export type PaymentRequest =
  | { readonly kind: 'capture'; readonly amount: bigint | undefined; readonly final: boolean }
  | { readonly kind: 'void' }
  | { readonly kind: 'refund'; readonly amount: bigint | undefined };

/** How much a request is about, or why it cannot be. */
export function requestedAmount(
  request: PaymentRequest,
  standing: Position,
  paymentId: string,
  { overcapturePercent }: PositionOptions,
): bigint | undefined | Refused {
  const { amountAuthorised, amountCapturable, amountCaptured, amountRefunded, amountDisputed } = standing;
  const refundable = amountCaptured - amountRefunded - amountDisputed;
  const legal = [
    ...(amountCapturable > 0n ? ['capture', 'void'] : []),
    ...(refundable > 0n ? ['refund'] : []),
  ];
  if (!legal.includes(request.kind)) {
    const instead = legal.length === 0 ? 'nothing more can be asked of it' : `it allows: ${legal.join(', ')}`;
    return refuse('invalid_transition', `Payment ${paymentId} is ${standing.status}: ${instead}.`);
  }
  if (request.kind === 'void') return amountCapturable;
  const isRefund = request.kind === 'refund';
  const most = isRefund ? refundable : withOvercapture(amountAuthorised, overcapturePercent) - amountCaptured;
  const amount = request.amount ?? (isRefund ? refundable : amountCapturable);
  if (amount <= most) return amount;
  return refuse('amount_exceeds_remaining', `${amount} is more than the ${most} of payment ${paymentId} that can be ${isRefund ? 'refunded' : 'captured'}.`);
}
