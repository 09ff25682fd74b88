import { type Booking, paymentOf } from './booking.js';
import type { Instruction } from './instruction.js';

/** What is wrong with a statement, on demand. But for `balance` its balances say the same as its entries. */
export const STATEMENT_FAULTS = [
  'missing_row',
  'duplicate',
  'amount',
  'status',
  'unknown',
  'batch',
  'balance',
] as const;

export type StatementFault = (typeof STATEMENT_FAULTS)[number];

/** A day of an account, before it is written. */
export interface AccountDay {
  readonly currency: string;
  readonly opening: bigint;
  bookings: readonly Booking[];
  /** What was not paid, and has not been since. */
  readonly failed: readonly Instruction[];
  /** What the closing balance is more than it should be. */
  closesBeside: bigint;
}

/** The entry that is wrong, by what we called it; of a balance the currency of its account. */
export interface PlantedEntry {
  readonly fault: StatementFault;
  readonly reference: string;
}

/** Each is planted once, in an entry of its own, where there is one: in the order in which they are asked for, the latest entry first. */
export function plantIn(days: readonly AccountDay[], faults: readonly StatementFault[]): PlantedEntry[] {
  const right = days.map((day) => ({ day, left: [...day.bookings] }));
  return faults.flatMap((fault) => {
    for (const { day, left } of right) {
      const reference = PLANT[fault](day, (kind) => {
        const at = left.findLastIndex((booking) => booking.kind === kind);
        return at === -1 ? undefined : left.splice(at, 1)[0];
      });
      if (reference !== undefined) return [{ fault, reference }];
    }
    return [];
  });
}

type Take = (kind: Booking['kind']) => Booking | undefined;
/** Answers what is wrong then; undefined: nothing was there that could be. */
type Plant = (day: AccountDay, take: Take) => string | undefined;

const PLANT: Record<StatementFault, Plant> = {
  missing_row: (day, take) => replace(day, take('payment'), () => []),
  duplicate: (day, take) =>
    replace(day, take('payment'), (booking) => [booking, { ...booking, reference: `${booking.reference}-again` }]),
  amount: (day, take) => replace(day, take('payment'), (booking) => [{ ...booking, amount: booking.amount - 1n }]),
  batch: (day, take) => replace(day, take('credit'), (booking) => [{ ...booking, amount: booking.amount + 1n }]),
  status: (day) => {
    const [instruction] = day.failed;
    const { last } = instruction ?? {};
    return instruction && last && add(day, paymentOf(instruction, { ...last, sequence: last.sequence + 1 }));
  },
  unknown: (day) => {
    const [like] = day.bookings;
    return like && add(day, { ...like, reference: `${like.reference}-unknown`, ...NOBODY });
  },
  balance: (day) => {
    day.closesBeside = 1n;
    return day.currency;
  },
};

const NOBODY = {
  kind: 'payment',
  amount: -1_000n,
  endToEndId: 'nobody',
  remittance: 'nobody',
  creditor: 'nobody',
} as const;

function replace(
  day: AccountDay,
  target: Booking | undefined,
  change: (booking: Booking) => readonly Booking[],
): string | undefined {
  day.bookings = day.bookings.flatMap((booking) => (booking === target ? change(booking) : [booking]));
  return target && nameOf(target);
}

function add(day: AccountDay, booking: Booking): string {
  day.bookings = [...day.bookings, booking];
  return nameOf(booking);
}

const nameOf = ({ kind, endToEndId, remittance }: Booking): string => (kind === 'credit' ? remittance : endToEndId);
