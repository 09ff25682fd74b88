import type { Fact } from '../../libs/payments/src/facts.js';
import { Dice } from '../histories/history.js';
import { dayAfter, Wall } from './clocks.js';
import { type ShopPlan, shopPlans } from './shops.js';
import { type Happening, type Story, storyOf } from './stories.js';

/** A quarter, drawn by a seed: what happens when, who is told of it in which night, what is asked for, and which nights are missed. */

export interface QuarterOptions {
  readonly seed: number;
  /** Of six shops. */
  readonly rounds: number;
  /** These instead, where they are given. */
  readonly shops?: readonly ShopPlan[];
  /** Of each shop. */
  readonly payments: number;
  /** All nights of the quarter, or some, and then payments are over sooner. */
  readonly everyNight: boolean;
  /** These alone, where they are given. */
  readonly nights?: readonly string[];
  /** Before which nothing has happened; absent: as the quarter begins. */
  readonly since?: string;
}

/** What `npm test` lives through. */
export const SHORT: QuarterOptions = { seed: 20_111_230, rounds: 1, payments: 14, everyNight: false };

/** Shorter still, for every `npm test`: that a quarter is lived and judged at all. It need not have everything in it. */
export const SMOKE: QuarterOptions = { ...SHORT, payments: 4, nights: ['2011-10-30', '2011-12-30'] };

/** A posting by hand on merchant_payable: posted at once, held and then posted, or posted and in part given back. */
export interface ByHand {
  readonly name: string;
  readonly currency: string;
  readonly how: 'posted' | 'held' | 'reversed';
  /** Of one transaction; positive is owed to the merchant. */
  readonly amounts: readonly bigint[];
  readonly atMs: number;
  /** Clients may say what they like. */
  readonly type: string;
}

export interface PayoutAsked {
  readonly currency: string;
  readonly destination: string;
  /** In hundredths of what may be paid out; absent: all of it, and no amount is said. */
  readonly share?: number;
}

/** Before a night: what each shop is told and does. */
export interface Evening {
  readonly facts: readonly (Fact & { readonly ref: string })[];
  readonly byHand: readonly ByHand[];
}

export interface Step {
  /** The day that is settled. */
  readonly date: string;
  readonly evenings: ReadonlyMap<ShopPlan, Evening>;
  /** Who misses the night. */
  readonly missing: ReadonlySet<ShopPlan>;
  /** After the night. */
  readonly payouts: ReadonlyMap<ShopPlan, PayoutAsked>;
}

export interface Quarter {
  readonly since: string;
  readonly shops: readonly ShopPlan[];
  /** What of them is told by the end. */
  readonly stories: ReadonlyMap<ShopPlan, readonly Story[]>;
  /** Told or not. */
  readonly happened: ReadonlyMap<ShopPlan, readonly Story[]>;
  readonly steps: readonly Step[];
}

const DAY_MS = 86_400_000;
/** Of the day after: then a day is over, wherever it was. */
const NIGHT_MS = 17.5 * 3_600_000;
/** A payment begins so long before one of the nights, at most. */
const BEFORE_DAYS = 2.5;
const SHORT_PACE = 0.25;
const LATE = 0.2;
const LATE_DAYS = 14;
const PARKED = 0.15;
const BY_HAND = 0.25;
const MISSED = 0.12;
const PAID_OUT = 0.3;
/** Now and then more than there is. */
const MOST_SHARE = 120;
export const DESTINATIONS = [
  'bank_ok',
  'bank_refused',
  'bank_returned',
  'bank_slow',
  'bank_silent',
  'bank_lost',
  'bank_twice',
  'bank_contradicts',
] as const;
/** What only the service itself may mean by it. */
const TYPES = ['goodwill', 'correction', 'settlement.fees', 'payment.captured', 'payout.reserved'];

export const SINCE = '2011-10-01';
const UNTIL = '2012-01-01';

/** When the night of a day is. */
export function nightMs(date: string): number {
  return Date.parse(`${date}T00:00:00Z`) + DAY_MS + NIGHT_MS;
}

/** Every day, or those around which clocks change, plans change and months end. */
function nightsOf(all: boolean): string[] {
  const dates: string[] = [];
  for (let date = SINCE; date < UNTIL; date = dayAfter(date, 1)) dates.push(date);
  return all ? dates : dates.filter((date) => SHORT_NIGHTS.includes(date.slice(5)));
}
const SHORT_NIGHTS = ['10-01', '10-02', '10-30', '11-06', '11-09', '12-01', '12-29', '12-30', '12-31'];

export function quarterOf(options: QuarterOptions): Quarter {
  const shops = options.shops ?? shopPlans(options.rounds);
  const dates = [...(options.nights ?? nightsOf(options.everyNight))];
  const drawn = new Map(shops.map((shop, index) => [shop, new ShopQuarter(shop, index, { ...options, dates })]));
  const dice = new Dice(options.seed);
  const stories = new Map([...drawn].map(([shop, { stories }]) => [shop, stories]));
  const happened = new Map([...drawn].map(([shop, of]) => [shop, of.happened]));
  const steps = dates.map((date, index): Step => {
    const isLast = index === dates.length - 1;
    const missing = shops.filter(({ daily }) => daily === undefined && !isLast && dice.next() < MISSED);
    const paid = shops.filter(({ daily }) => daily === undefined && dice.next() < PAID_OUT);
    return {
      date,
      evenings: new Map([...drawn].map(([shop, of]) => [shop, of.evening(index)])),
      missing: new Set(missing),
      payouts: new Map(paid.map((shop) => [shop, payoutOf(shop, dice)])),
    };
  });
  return { since: options.since ?? SINCE, shops, stories, happened, steps };
}

function payoutOf({ currencies }: ShopPlan, dice: Dice): PayoutAsked {
  const share = dice.pick([undefined, 1 + dice.below(MOST_SHARE)]);
  return {
    currency: dice.pick(currencies),
    destination: dice.pick(DESTINATIONS),
    ...(share !== undefined && { share }),
  };
}

class ShopQuarter {
  readonly happened: Story[] = [];
  readonly stories: readonly Story[];
  readonly #nights: readonly number[];
  readonly #facts: (Fact & { ref: string })[][];
  readonly #byHand: ByHand[][];

  constructor(shop: ShopPlan, index: number, options: QuarterOptions & { readonly dates: readonly string[] }) {
    const { seed, payments, dates } = options;
    const dice = new Dice(seed + 7_919 * (index + 1));
    const wall = new Wall(shop.clock);
    const pace = options.everyNight ? 1 : SHORT_PACE;
    this.#nights = dates.map(nightMs);
    this.#facts = dates.map(() => []);
    this.#byHand = dates.map(() => []);
    const from = Date.parse(`${options.since ?? SINCE}T00:00:00Z`);
    this.stories = Array.from({ length: payments }, (_, number) => {
      const sinceMs = Math.max(from, nightMs(dice.pick(dates)) - Math.floor(dice.next() * BEFORE_DAYS * DAY_MS));
      const ref = `s${index}p${number}`;
      return this.#told(storyOf({ ref, currency: dice.pick(shop.currencies), sinceMs, wall, pace }, dice), dice);
    });
    // The shop begins with the quarter.
    const opening = {
      name: `s${index}`,
      currency: shop.currencies[0] as string,
      how: 'posted',
      type: 'opening',
    } as const;
    this.#byHand[0]?.push({ ...opening, amounts: [100_000n], atMs: from });
    for (const [night, atMs] of this.#nights.entries())
      if (dice.next() < BY_HAND)
        this.#byHand[night]?.push(
          byHandOf(`s${index}h${night}`, shop, atMs - Math.floor(dice.next() * 9 * DAY_MS), dice),
        );
  }

  evening(night: number): Evening {
    return { facts: this.#facts[night] ?? [], byHand: this.#byHand[night] ?? [] };
  }

  /** Tells it, in its order but for a refund now and then that is told before its capture. Answers what of it is told by the end. */
  #told(story: Story, dice: Dice): Story {
    this.happened.push(story);
    const nights: number[] = [];
    for (const { fact } of story.happenings) {
      const lateMs = dice.next() < LATE ? dice.next() * LATE_DAYS * DAY_MS : 0;
      nights.push(Math.max(nights.at(-1) ?? 0, this.#nightAfter(fact.occurredAtMs + lateMs)));
    }
    if (dice.next() < PARKED) park(story.happenings, nights);
    const told = story.happenings.filter((_, index) => (nights[index] as number) < this.#nights.length);
    for (const [index, { fact }] of story.happenings.entries())
      this.#facts[nights[index] as number]?.push({ ...fact, ref: story.ref });
    return { ...story, happenings: told };
  }

  /** The first night in which it can be told; past the last one when there is none. */
  #nightAfter(atMs: number): number {
    const night = this.#nights.findIndex((nightMs) => nightMs >= atMs);
    return night < 0 ? this.#nights.length : night;
  }
}

/** The capture is told in the night after the one in which its refund was; nothing else is told between them. */
function park(happenings: readonly Happening[], nights: number[]): void {
  const types = happenings.map(({ fact }) => fact.type);
  const [capture, refund] = [types.indexOf('captured'), types.indexOf('refunded')];
  if (capture < 0 || refund !== capture + 1) return;
  const told = (nights[refund] as number) + 1;
  for (const index of nights.keys())
    if (index === capture || index > refund) nights[index] = Math.max(nights[index] as number, told);
}

function byHandOf(name: string, { currencies }: ShopPlan, atMs: number, dice: Dice): ByHand {
  const how = dice.pick<ByHand['how']>(['posted', 'posted', 'held', 'reversed']);
  const amount = (): bigint => BigInt(1 + dice.below(5_000)) * (dice.next() < 0.5 ? 1n : -1n);
  const amounts = how === 'posted' && dice.next() < 0.5 ? [amount(), amount()] : [amount()];
  return { name, currency: dice.pick(currencies), how, amounts, atMs, type: dice.pick(TYPES) };
}
