import type { Client } from './night-service.js';

/** A merchant's business day, recorded through the API: payments told by a provider, refunds, a dispute, postings by hand. */

/** Per hundred entries on `merchant_payable`; the rest are captures. */
const REFUNDS = 8;
const DISPUTES = 1;
const BY_HAND = 3;
const FACTS_A_CALL = 300;
/** Time enough to record the day before it is over. */
const DAY_IS_OPEN_MS = 30_000;
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
/** Zones go no further ahead. */
const MOST_AHEAD_HOURS = 14;
/** As local time: business days end after 12:00. */
const EVENING_HOUR = 18;

const PLAN = {
  name: 'Benchmark',
  rules: [
    { applies_to: 'payment', currency: 'EUR', percent_bps: 140, fixed: '25', min: '30', max: '250' },
    {
      applies_to: 'payment',
      currency: 'EUR',
      percent_bps: 115,
      fixed: '20',
      min: '25',
      max: '200',
      tier_from: '500000',
    },
    { applies_to: 'refund', currency: 'EUR', percent_bps: 0, fixed: '10' },
    { applies_to: 'dispute', currency: 'EUR', percent_bps: 0, fixed: '1500' },
  ],
};

export interface Day {
  /** `YYYY-MM-DD` */
  businessDate: string;
  /** When it is over. */
  endMs: number;
  timeZone: string;
  cutoff: string;
}

/** The business day, somewhere on earth, that is over in a moment. */
export function dayThatEndsSoon(nowMs = Date.now()): Day {
  const endMs = Math.ceil((nowMs + DAY_IS_OPEN_MS) / MINUTE_MS) * MINUTE_MS;
  const ahead = Math.min(EVENING_HOUR - new Date(endMs).getUTCHours(), MOST_AHEAD_HOURS);
  const local = new Date(endMs + ahead * HOUR_MS).toISOString();
  // POSIX counts westwards.
  const timeZone = `Etc/GMT${ahead > 0 ? '-' : '+'}${Math.abs(ahead)}`;
  return { businessDate: local.slice(0, 10), endMs, timeZone, cutoff: local.slice(11, 16) };
}

export function dayBefore(day: Day): Day {
  const businessDate = new Date(Date.parse(`${day.businessDate}T00:00:00Z`) - DAY_MS).toISOString().slice(0, 10);
  return { ...day, businessDate, endMs: day.endMs - DAY_MS };
}

/** On the plan. */
export async function openMerchant(
  operate: Client,
  { timeZone, cutoff }: Day,
): Promise<{ id: bigint; apiKey: string }> {
  const plan = await operate('POST', '/v1/fee_plans', PLAN);
  const merchant = await operate('POST', '/v1/merchants', {
    name: 'Benchmark',
    time_zone: timeZone,
    settlement_cutoff: cutoff,
    currencies: ['EUR'],
    fee_plan_id: plan.id,
  });
  return { id: BigInt(merchant.id), apiKey: merchant.api_key.secret };
}

/** `entries` on `merchant_payable`, in a day that may be over. */
export async function recordDay(call: Client, entries: number, day: Day): Promise<void> {
  const share = (perHundred: number): number => Math.round((entries * perHundred) / 100);
  const [refunds, disputes, byHand] = [share(REFUNDS), share(DISPUTES), share(BY_HAND)];
  const captures = payments(entries - refunds - disputes - byHand);
  for (const told of [captures, afterwards(refunds, disputes)]) {
    for (const events of pages(told, day)) await call('POST', '/v1/provider_events/batch', { events });
  }
  for (let n = 0; n < byHand; n += 1) {
    const entry = { amount: String(100 + n), currency: 'EUR' };
    const sides = [
      { ...entry, account_code: 'cash:EUR', direction: 'debit' },
      { ...entry, account_code: 'merchant_payable:EUR', direction: 'credit' },
    ];
    const body = { type: 'bonus', effective_at: momentIn(day), entries: n % 2 === 0 ? sides : swapped(sides) };
    await call('POST', '/v1/transactions', body, `${day.businessDate}-${n}`);
  }
}

function swapped<T extends { direction: string }>(sides: readonly T[]): T[] {
  return sides.map((side) => ({ ...side, direction: side.direction === 'debit' ? 'credit' : 'debit' }));
}

/** Each told backwards, so that it comes to one posting, of one entry on `merchant_payable`. */
function payments(count: number): Record<string, unknown>[] {
  return Array.from({ length: count }, (_, n) =>
    ['captured', 'authorised'].map((type) => fact(n, type, amountOf(n))),
  ).flat();
}

function afterwards(refunds: number, disputes: number): Record<string, unknown>[] {
  return [
    ...Array.from({ length: refunds }, (_, n) => fact(n, 'refunded', Math.ceil(amountOf(n) / 3))),
    ...Array.from({ length: disputes }, (_, n) => ({
      ...fact(refunds + n, 'dispute_opened', amountOf(refunds + n)),
      stage: 'chargeback',
    })),
  ];
}

/** Between 5.00 and 205.00, spread as by chance. */
function amountOf(n: number): number {
  return 500 + ((n * 7_919) % 20_000);
}

function fact(n: number, type: string, amount: number): Record<string, unknown> {
  return {
    provider: 'bench',
    event_id: `${type}-${n}`,
    payment_ref: `payment-${n}`,
    type,
    amount: String(amount),
    currency: 'EUR',
  };
}

/** What is told in one call happened at one moment: each moment of late entries has rows of its own in `late_sums`. */
function* pages(facts: Record<string, unknown>[], day: Day): Generator<object[]> {
  for (let at = 0; at < facts.length; at += FACTS_A_CALL) {
    const own = (name: unknown): string => `${day.businessDate}/${name}`;
    yield facts.slice(at, at + FACTS_A_CALL).map((one) => ({
      ...one,
      event_id: own(one.event_id),
      payment_ref: own(one.payment_ref),
      occurred_at: momentIn(day),
    }));
  }
}

/** Now, if it is not over. */
function momentIn({ endMs }: Day): string {
  return new Date(Math.min(Date.now(), endMs - 1)).toISOString();
}
