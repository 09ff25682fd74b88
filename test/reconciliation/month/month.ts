import type { ReportFormat } from '../../../apps/provider-simulator/src/reports/report.js';
import { dayAfter } from '../../night/clocks.js';
import { nightMs, type Quarter, quarterOf, type Step } from '../../night/quarter.js';
import { PLAN_VERSIONS, type ShopPlan, shopPlans } from '../../night/shops.js';

/** A calendar month of the simulated quarter, of late, as nothing is expected of what happened years ago. */

export interface MonthOptions {
  readonly seed: number;
  /** Of six shops: the last so many of the first six, or all of so many rounds. */
  readonly rounds: number;
  readonly shops: number;
  /** Of each shop. */
  readonly payments: number;
  /** Or those of its last weekend and its end alone. */
  readonly everyNight: boolean;
  /** So many days after the month's last night is one more, until which the days are reconciled at once; 0: there is none. */
  readonly afterwards: number;
}

export interface Month {
  readonly name: string;
  readonly quarter: Quarter;
  readonly formats: ReadonlyMap<ShopPlan, ReportFormat>;
}

/** Plans do not change within the month: nights have a proof of their own. */
export const VERSIONS = PLAN_VERSIONS.filter(({ version }) => version === 1);

const FORMATS: readonly (readonly [format: ReportFormat, provider: string])[] = [
  ['adyen_settlement_detail', 'adyen'],
  ['stripe_payout_reconciliation', 'stripe'],
  ['generic', 'acme'],
];

/** The month before the last one, so that all that comes of it has happened by now. */
export function monthOf({ seed, rounds, shops, payments, everyNight, afterwards }: MonthOptions, nowMs: number): Month {
  const now = new Date(nowMs);
  const [first, next] = [-2, -1].map((back) =>
    new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + back, 1)).toISOString().slice(0, 10),
  ) as [string, string];
  const dates = everyNight ? datesFrom(first, next) : lastOf(next);
  if (afterwards > 0) dates.push(dayAfter(next, afterwards - 1));
  const formats = new Map<ShopPlan, ReportFormat>();
  const plans = shopPlans(rounds)
    .slice(-shops)
    .map((plan, index): ShopPlan => {
      const [format, provider] = FORMATS[index % FORMATS.length] as (typeof FORMATS)[number];
      const shop = { ...plan, provider, plans: plan.plans.filter(({ validFromMs }) => validFromMs === -Infinity) };
      formats.set(shop, format);
      return shop;
    });
  const since = dayAfter(dates[0] as string, -3);
  const quarter = quarterOf({ seed, rounds, shops: plans, payments, everyNight, nights: dates, since });
  return { name: first.slice(0, 7), quarter: inTime(quarter), formats };
}

function datesFrom(first: string, next: string): string[] {
  const dates: string[] = [];
  for (let date = first; date < next; date = dayAfter(date, 1)) dates.push(date);
  return dates;
}

/** The last weekend, from its Friday on, and the last day. */
function lastOf(next: string): string[] {
  const week = datesFrom(dayAfter(next, -7), next);
  return week.filter((date, index) => [5, 6, 0].includes(weekdayOf(date)) || index === week.length - 1);
}

/** 0: Sunday. */
const weekdayOf = (date: string): number => new Date(`${date}T00:00:00Z`).getUTCDay();

/**
 * Of several captures or refunds of a payment each is told in the night after it happened: a row that comes before its fact may else be held
 * against another one, as what the ledger has may be named by ourselves.
 */
function inTime(quarter: Quarter): Quarter {
  const nights = quarter.steps.map(({ date }) => nightMs(date));
  const several = new Set(
    [...quarter.happened.values()].flat().flatMap(({ ref, happenings }) => {
      const count = (type: string): number => happenings.filter(({ fact }) => fact.type === type).length;
      return count('captured') > 1 || count('refunded') > 1 ? [ref] : [];
    }),
  );
  const stories = new Map(quarter.stories);
  const evenings = quarter.steps.map((step) => new Map(step.evenings));
  for (const [shop, happened] of quarter.happened) {
    const isLast = (atMs: number): boolean => atMs <= (nights.at(-1) as number);
    const told = happened
      .filter(({ ref }) => several.has(ref))
      .map((story) => ({ ...story, happenings: story.happenings.filter(({ fact }) => isLast(fact.occurredAtMs)) }));
    stories.set(shop, [...(quarter.stories.get(shop) ?? []).filter(({ ref }) => !several.has(ref)), ...told]);
    for (const [night, evening] of evenings.entries()) {
      const { facts = [], byHand = [] } = evening.get(shop) ?? {};
      const isNow = (atMs: number): boolean =>
        atMs <= (nights[night] as number) && atMs > (nights[night - 1] ?? -Infinity);
      const own = told.flatMap(({ ref, happenings }) =>
        happenings.filter(({ fact }) => isNow(fact.occurredAtMs)).map(({ fact }) => ({ ...fact, ref })),
      );
      evening.set(shop, { byHand, facts: [...facts.filter(({ ref }) => !several.has(ref)), ...own] });
    }
  }
  return {
    ...quarter,
    stories,
    steps: quarter.steps.map((step, night) => ({ ...step, evenings: evenings[night] as Step['evenings'] })),
  };
}

/** Days of UTC that a processor reports in the night of a date: all since the last one. */
export function daysOf({ steps, since }: Quarter, date: string): { from: string; to: string } {
  const before = steps.findLast((step) => step.date < date)?.date;
  return { from: before === undefined ? since : dayAfter(before, 1), to: dayAfter(date, 1) };
}

/** Banks rest on Saturdays and Sundays. */
function isBankingDay(date: string): boolean {
  return ![0, 6].includes(weekdayOf(date));
}

/** On which what is paid out of a day is booked. */
export function bankingDayAfter(date: string): string {
  let next = dayAfter(date, 1);
  while (!isBankingDay(next)) next = dayAfter(next, 1);
  return next;
}

const DAY_MS = 86_400_000;

/** Days for which something is expected, counted back from now, when it is looked for in the night of a date. */
export function slaOf(date: string, days: number, nowMs: number): number {
  return Math.round((nowMs - nightMs(date)) / DAY_MS) + days;
}
