import { type Clock, type Day, dayAfter, Wall } from './clocks.js';
import { type Fraction, fraction, halfEven, least, whole } from './rationals.js';
import { type Charge, chargeOf, type OnPlan, type PlanVersion, validAt } from './tariff.js';

/**
 * What a merchant's settlements must be, from what was posted on `merchant_payable` and from the nights in which it was looked at.
 * Made from the law of the night alone: it shares no line with the service, and reckons in fractions, on a clock on the wall.
 */

export interface Posted {
  readonly currency: string;
  /** Of its account. */
  readonly version: number;
  readonly kind: 'payment' | 'refund' | 'dispute' | 'other' | 'payout';
  /** The payment that it is of. */
  readonly payment?: string;
  readonly transaction: string;
  /** What it adds to what the merchant is owed. */
  readonly amount: bigint;
  readonly atMs: number;
  /** Of a payout: what is charged for it. */
  readonly fee?: bigint;
}

export interface Night {
  readonly date: string;
  /** By currency: how far the account had come. */
  readonly seen: ReadonlyMap<string, number>;
}

export interface Terms {
  readonly clock: Clock;
  readonly openedMs: number;
  readonly versions: readonly PlanVersion[];
  readonly plans: readonly OnPlan[];
}

export interface Line extends Posted {
  readonly charged: bigint;
  /** Before it was rounded. */
  readonly exact: readonly Fraction[];
  readonly plan: PlanVersion | undefined;
  /** Where it belongs, whenever it was settled. */
  readonly date: string;
}

export interface Settlement {
  readonly day: Day;
  readonly currency: string;
  readonly lines: readonly Line[];
}

export interface Amounts {
  readonly gross: bigint;
  readonly refunds: bigint;
  readonly disputes: bigint;
  readonly other: bigint;
  readonly adjustments: bigint;
  readonly fees: bigint;
  readonly net: bigint;
  readonly items: number;
}

export interface Settled {
  readonly settlements: readonly Settlement[];
  readonly unsettled: readonly Posted[];
  /** By night: how the merchant came out of it. */
  readonly outcomes: readonly Outcome[];
}

export type Outcome = 'settled' | 'empty' | 'not_due';

/** What was charged for a payment, and what of it was taken back. */
interface Charges {
  fees: bigint;
  charged: bigint;
  back: bigint;
}

export function settle(terms: Terms, posted: readonly Posted[], nights: readonly Night[]): Settled {
  return new Ledgerman(terms, posted).through(nights);
}

const FREE: Charge = { fee: 0n, exact: whole(0n) };

class Ledgerman {
  readonly #wall: Wall;
  readonly #terms: Terms;
  readonly #settlements: Settlement[] = [];
  readonly #volumes = new Map<string, bigint>();
  readonly #payments = new Map<string, Charges>();
  #open: readonly Posted[];
  #last: string | undefined;

  constructor(terms: Terms, posted: readonly Posted[]) {
    this.#terms = terms;
    this.#wall = new Wall(terms.clock);
    this.#open = posted.toSorted((left, right) => left.version - right.version);
  }

  through(nights: readonly Night[]): Settled {
    const outcomes = nights.map((night) => this.#night(night));
    return { settlements: this.#settlements, unsettled: this.#open, outcomes };
  }

  #night({ date, seen }: Night): Outcome {
    const next = this.#last === undefined ? this.#firstDay(seen) : dayAfter(this.#last, 1);
    if (this.#last === undefined && date < next) return 'not_due';
    for (let day = next; day <= date; day = dayAfter(day, 1)) this.#close(this.#wall.day(day), seen);
    if (this.#last === undefined || date > this.#last) this.#last = date;
    return this.#settlements.some(({ day }) => day.date === date) ? 'settled' : 'empty';
  }

  #firstDay(seen: Night['seen']): string {
    const known = this.#open.filter((one) => isSeen(one, seen)).map(({ atMs }) => atMs);
    return this.#wall.dayAt(Math.min(this.#terms.openedMs, ...known)).date;
  }

  #close(day: Day, seen: Night['seen']): void {
    const taken = this.#open.filter((one) => isSeen(one, seen) && one.atMs < day.toMs);
    this.#open = this.#open.filter((one) => !taken.includes(one));
    for (const [currency, entries] of Map.groupBy(taken, (one) => one.currency)) {
      this.#settlements.push({ day, currency, lines: entries.map((entry) => this.#lineOf(entry)) });
    }
  }

  #lineOf(entry: Posted): Line {
    const { kind, amount, atMs, payment } = entry;
    const on = validAt(this.#terms.plans, atMs);
    const versions = this.#terms.versions.filter(({ plan }) => plan === on?.plan);
    const plan = validAt(versions, atMs);
    const own = this.#ownCharge(entry, plan);
    let back = 0n;
    if (payment !== undefined && (kind === 'payment' || kind === 'refund')) {
      const charges = this.#chargesOf(payment);
      if (kind === 'payment' && amount > 0n) {
        charges.fees += own.fee;
        charges.charged += amount;
      } else {
        if (kind === 'payment' || plan?.refundReturnsFee) back = givenBack(charges, -amount);
        charges.back -= amount;
      }
    }
    if (kind === 'payment') this.#volumes.set(this.#month(entry), this.#volume(entry) + amount);
    const charged = own.fee - back;
    const exact = [own.exact, whole(-back)];
    const amountSettled = kind === 'payout' ? 0n : amount;
    return { ...entry, amount: amountSettled, charged, exact, plan, date: this.#wall.dayAt(atMs).date };
  }

  #ownCharge(entry: Posted, plan: PlanVersion | undefined): Charge {
    const { kind, amount, currency, fee = 0n } = entry;
    if (kind === 'payout') return { fee, exact: whole(fee) };
    if (kind === 'other' || !plan || amount > 0n !== (kind === 'payment')) return FREE;
    const size = amount < 0n ? -amount : amount;
    return chargeOf(plan.rules, { kind, currency, amount: size, volume: this.#volume(entry) }) ?? FREE;
  }

  #chargesOf(payment: string): Charges {
    const charges = this.#payments.get(payment) ?? { fees: 0n, charged: 0n, back: 0n };
    this.#payments.set(payment, charges);
    return charges;
  }

  /** Currency and calendar month where the merchant is. */
  #month({ currency, atMs }: Posted): string {
    return `${currency} ${this.#wall.dateAt(atMs).slice(0, 7)}`;
  }

  #volume(entry: Posted): bigint {
    return this.#volumes.get(this.#month(entry)) ?? 0n;
  }
}

function isSeen({ currency, version }: Posted, seen: Night['seen']): boolean {
  return version <= (seen.get(currency) ?? 0);
}

/** What is given back so far is the rounded share of what was taken back so far; a line gives the difference. */
function givenBack({ fees, charged, back }: Charges, more: bigint): bigint {
  if (charged === 0n) return 0n;
  const upTo = (taken: bigint): bigint => halfEven(fraction(fees * least(taken, charged), charged));
  return upTo(back + more) - upTo(back);
}

export function amountsOf({ day, lines }: Settlement): Amounts {
  const inDay = lines.filter(({ atMs }) => atMs >= day.fromMs);
  const sum = (of: readonly Line[]): bigint => of.reduce((total, { amount }) => total + amount, 0n);
  const sumOf = (kind: Posted['kind']): bigint => sum(inDay.filter((line) => line.kind === kind));
  const taken = {
    gross: sumOf('payment'),
    refunds: -sumOf('refund'),
    disputes: -sumOf('dispute'),
    other: sumOf('other'),
    adjustments: sum(lines.filter(({ atMs }) => atMs < day.fromMs)),
    fees: lines.reduce((total, { charged }) => total + charged, 0n),
  };
  const net = taken.gross - taken.refunds - taken.disputes + taken.other + taken.adjustments - taken.fees;
  return { ...taken, net, items: lines.length };
}
