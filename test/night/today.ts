import { dayAfter, Wall } from './clocks.js';
import type { ByHand, PayoutAsked } from './quarter.js';
import type { ShopPlan } from './shops.js';

/**
 * A shop whose business day ends while the quarter is lived through. What is paid out is paid out today, so that this day alone settles
 * what it cost.
 */
export interface Today {
  readonly plan: ShopPlan;
  readonly byHand: ByHand;
  /** The day before, and the one that ends soon. */
  readonly dates: readonly [string, string];
  readonly endMs: number;
  readonly payouts: readonly PayoutAsked[];
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** Time enough to pay out, with a minute to round up to. */
const ENDS_IN_MS = 45_000;
const ZONE = 'Asia/Kolkata';

export function todayOf(nowMs: number): Today {
  const endsMs = Math.ceil((nowMs + ENDS_IN_MS) / MINUTE_MS) * MINUTE_MS;
  const shown = new Intl.DateTimeFormat('sv-SE', { timeZone: ZONE, timeStyle: 'short' }).format(endsMs);
  const plan: ShopPlan = {
    name: 'today',
    clock: { zone: ZONE, cutoff: shown },
    currencies: ['EUR'],
    plans: [{ plan: 'kept', validFromMs: -Infinity }],
  };
  const { date, toMs } = new Wall(plan.clock).dayAt(nowMs);
  const opening = { name: 'today', currency: 'EUR', how: 'posted', type: 'opening' } as const;
  const to = (destination: string, share: number): PayoutAsked => ({ currency: 'EUR', destination, share });
  return {
    plan,
    byHand: { ...opening, amounts: [1_000_000n], atMs: nowMs - 30 * HOUR_MS },
    dates: [dayAfter(date, -1), date],
    endMs: toMs,
    payouts: [
      to('bank_ok', 11),
      to('bank_refused', 23),
      to('bank_returned', 37),
      to('bank_contradicts', 41),
      to('nobody', 7),
    ],
  };
}
