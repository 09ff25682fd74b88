import type { Clock } from './clocks.js';
import type { OnPlan, PlanVersion, Rule } from './tariff.js';

/** Who lives through the quarter: October to December 2011, in which Samoa skipped a day and four of these zones changed their clocks. */

export interface ShopPlan {
  readonly name: string;
  readonly clock: Clock;
  readonly currencies: readonly string[];
  /** By name, and from when on. */
  readonly plans: readonly OnPlan[];
  /** Paid out after each night, to where. */
  readonly daily?: string;
  /** Whose payments these are; absent: a provider's that is nobody's in particular. */
  readonly provider?: string;
}

const at = (time: string): number => Date.parse(`2011-${time}Z`);

const CURRENCIES = ['EUR', 'JPY', 'BHD'] as const;
const each = (rule: Omit<Rule, 'currency'>): Rule[] => CURRENCIES.map((currency) => ({ ...rule, currency }));

/** Percents with many ties, tiers that are reached within a month, and what a refund and a dispute cost. */
const STANDARD: readonly Rule[] = [
  ...each({ appliesTo: 'payment', percentBps: 250, fixed: 30n }),
  ...each({ appliesTo: 'payment', percentBps: 125, fixed: 20n, tierFrom: 1_000_000n }),
  ...each({ appliesTo: 'payment', percentBps: 75, fixed: 0n, tierFrom: 4_000_000n, min: 10n, max: 5_000n }),
  ...each({ appliesTo: 'refund', percentBps: 50, fixed: 5n }),
  ...each({ appliesTo: 'dispute', percentBps: 0, fixed: 1_500n }),
  ...each({ appliesTo: 'payout', percentBps: 10, fixed: 25n, max: 250n }),
];

const FLAT: readonly Rule[] = [
  { appliesTo: 'payment', currency: 'EUR', percentBps: 290, fixed: 35n, min: 50n },
  { appliesTo: 'payment', currency: 'JPY', percentBps: 365, fixed: 0n, max: 9_999n },
  { appliesTo: 'refund', currency: 'EUR', percentBps: 0, fixed: 15n },
];

/** The second versions begin in the middle of a business day of everybody. */
export const PLAN_VERSIONS: readonly PlanVersion[] = [
  { plan: 'standard', version: 1, validFromMs: -Infinity, refundReturnsFee: false, rules: STANDARD },
  { plan: 'standard', version: 2, validFromMs: at('11-09T05:43:21.987'), refundReturnsFee: true, rules: STANDARD },
  { plan: 'kept', version: 1, validFromMs: -Infinity, refundReturnsFee: false, rules: STANDARD },
  { plan: 'flat', version: 1, validFromMs: -Infinity, refundReturnsFee: true, rules: FLAT },
  {
    plan: 'flat',
    version: 2,
    validFromMs: at('12-29T04:00'),
    refundReturnsFee: true,
    rules: FLAT.map((rule) => ({ ...rule, percentBps: rule.percentBps + 5 })),
  },
];

const on = (plan: string, validFromMs = -Infinity): OnPlan => ({ plan, validFromMs });

/** Half-hour offset; no summer time; both hemispheres; half an hour of summer time; the skipped day. */
const PLACES: readonly (readonly [zone: string, cutoffs: readonly string[]])[] = [
  ['Asia/Kolkata', ['22:00', '00:00', '12:00']],
  ['Asia/Tokyo', ['00:00', '03:30', '23:59']],
  ['Europe/Berlin', ['02:00', '22:00', '02:30']],
  ['America/New_York', ['00:00', '01:30', '17:00']],
  ['Australia/Lord_Howe', ['02:15', '00:00', '22:00']],
  ['Pacific/Apia', ['22:00', '02:00', '00:00']],
];
const PAIRS = [
  ['EUR', 'JPY'],
  ['JPY', 'BHD'],
  ['EUR', 'BHD'],
] as const;
const PLANS: readonly (readonly OnPlan[])[] = [
  [on('standard')],
  [on('flat'), on('standard', at('11-07T00:00'))],
  [on('standard'), on('flat', at('11-30T23:00'))],
  [on('standard', at('10-29T12:00'))],
  [on('flat')],
  [on('standard'), on('flat', at('12-30T08:00'))],
];

/** Six a round; each round has other cut-offs, currencies and plans. */
export function shopPlans(rounds: number): ShopPlan[] {
  return Array.from({ length: rounds }, (_, round) => round).flatMap((round) =>
    PLACES.map(([zone, cutoffs], place): ShopPlan => {
      const cutoff = cutoffs[round % cutoffs.length] as string;
      const name = `${zone} ${cutoff}${round < cutoffs.length ? '' : ` (${round})`}`;
      const currencies = PAIRS[(place + round) % PAIRS.length] as readonly string[];
      const plans = place === 3 && round % 2 === 1 ? [] : (PLANS[(place + round) % PLANS.length] as readonly OnPlan[]);
      return { name, clock: { zone, cutoff }, currencies, plans, ...(place === 3 && { daily: 'bank_ok' }) };
    }),
  );
}
