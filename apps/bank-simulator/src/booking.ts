import type { Instruction } from './instruction.js';

/** What others have paid us. */
export interface Credit {
  /** What they say that it is for. */
  readonly reference: string;
  /** In minor units. */
  readonly amount: string;
  readonly currency: string;
  readonly at: string;
  /** Whose it is; absent: of no one of those for whom we pay. */
  readonly owner?: string | undefined;
}

/** An entry of a statement. */
export interface Booking {
  readonly kind: 'payment' | 'return' | 'credit';
  /** The bank's own. */
  readonly reference: string;
  readonly endToEndId: string;
  readonly remittance: string;
  /** Who is paid; '' where it is we. */
  readonly creditor: string;
  /** Signed: what is paid out is below zero. */
  readonly amount: bigint;
  readonly currency: string;
  readonly atMs: number;
}

/** A payment is booked when it is paid, and once more when it comes back. */
export function bookingsOf(instruction: Instruction): Booking[] {
  return instruction.words.flatMap((word) => {
    if (word.status === 'paid') return [paymentOf(instruction, word)];
    if (word.status !== 'returned') return [];
    const payment = paymentOf(instruction, word);
    return [{ ...payment, kind: 'return', amount: -payment.amount }];
  });
}

/** As if it had been paid then. */
export function paymentOf(
  { order, bankReference }: Instruction,
  { sequence, atMs }: { sequence: number; atMs: number },
): Booking {
  return {
    kind: 'payment',
    reference: `${bankReference}-${sequence}`,
    endToEndId: order.reference,
    remittance: order.key,
    creditor: order.destination,
    amount: -BigInt(order.amount),
    currency: order.currency,
    atMs,
  };
}

/** `number`: which one it is of those that came. */
export function creditBooking({ reference, amount, currency, at }: Credit, number: number): Booking {
  return {
    kind: 'credit',
    reference: `CR${String(number).padStart(10, '0')}`,
    endToEndId: 'NOTPROVIDED',
    remittance: reference,
    creditor: '',
    amount: BigInt(amount),
    currency,
    atMs: Date.parse(at),
  };
}
