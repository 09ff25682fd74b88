import type { DisputeStage, Fact, FactType } from '../../libs/payments/src/facts.js';
import type { Dice } from '../histories/history.js';
import { type AccountName, Books } from '../payments/books.js';
import type { Wall } from './clocks.js';
import type { Posted } from './oracle.js';

/** What a fact moves on merchant_payable; positive is owed to the merchant. */
export interface Move {
  readonly kind: Exclude<Posted['kind'], 'other' | 'payout'>;
  readonly amount: bigint;
}

export interface Happening {
  readonly fact: Fact;
  readonly move: Move | undefined;
  readonly book: readonly (readonly [debit: AccountName, credit: AccountName, amount: bigint])[];
}

/** One payment as it happened over days and weeks, in that order. */
export interface Story {
  readonly ref: string;
  readonly currency: string;
  readonly happenings: readonly Happening[];
}

export interface StoryOptions {
  readonly ref: string;
  readonly currency: string;
  readonly sinceMs: number;
  readonly wall: Wall;
  /** 1: what follows takes days and weeks; less: so much less. */
  readonly pace: number;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** How often something happens within a millisecond of the end of a business day. */
const AT_AN_EDGE = 0.2;
const PR = 'provider_receivable';
const MP = 'merchant_payable';
const DR = 'dispute_reserve';

export function storyOf(options: StoryOptions, dice: Dice): Story {
  const drawn = new Drawn(options, dice);
  drawn.live();
  return { ref: options.ref, currency: options.currency, happenings: drawn.happenings };
}

class Drawn {
  readonly happenings: Happening[] = [];
  readonly #options: StoryOptions;
  readonly #dice: Dice;
  #atMs: number;
  #free = 0n;

  constructor(options: StoryOptions, dice: Dice) {
    this.#options = options;
    this.#dice = dice;
    this.#atMs = options.sinceMs;
  }

  live(): void {
    const amount = this.#amount();
    this.#snap();
    this.#tell('authorised', { amount, currency: this.#options.currency });
    this.#capture(amount);
    if (this.#chance(0.55)) this.#refund();
    if (this.#chance(0.25)) this.#dispute();
    if (this.#chance(0.5)) this.#settle(amount);
  }

  #capture(amount: bigint): void {
    const first = this.#chance(0.3) ? this.#part(amount) : amount;
    for (const [index, part] of [first, amount - first].entries()) {
      if (part === 0n) continue;
      this.#later(3);
      this.#moved('captured', 'payment', part, `c${index + 1}`);
      this.#free += part;
      if (!this.#chance(0.12)) continue;
      this.#later(5);
      this.#moved('capture_failed', 'payment', -part, `c${index + 1}`);
      this.#free -= part;
    }
  }

  #refund(): void {
    // A half, twice, is where what is given back is rounded to two sides.
    const halves = this.#chance(0.3) && this.#free % 2n === 0n && this.#free > 0n ? this.#free / 2n : undefined;
    for (let number = 1; number <= (halves ? 2 : 1 + this.#dice.below(3)) && this.#free > 0n; number += 1) {
      const amount = halves ?? (this.#chance(0.3) ? this.#free : this.#part(this.#free));
      this.#later(15);
      this.#moved('refunded', 'refund', -amount, `r${number}`);
      this.#free -= amount;
      if (!this.#chance(0.25)) continue;
      this.#later(8);
      this.#moved(this.#dice.pick(['refund_failed', 'refund_reversed']), 'refund', amount, `r${number}`);
      // What could not be given back is not given back again.
    }
  }

  #dispute(): void {
    if (this.#free <= 1n) return;
    const amount = this.#part(this.#free);
    this.#later(20);
    if (this.#chance(0.3)) this.#tell('dispute_opened', { amount, stage: 'inquiry' }, 'd');
    if (this.#chance(0.1)) return;
    this.#later(5);
    this.#moved('dispute_opened', 'dispute', -amount, 'd', 'chargeback');
    if (this.#chance(0.5)) this.#charge();
    const [outcome, ...then] = this.#dice.pick<('dispute_won' | 'dispute_lost')[]>([
      [],
      ['dispute_won'],
      ['dispute_lost'],
      ['dispute_lost', 'dispute_won'],
    ]);
    if (outcome) this.#end(outcome, amount, 'open');
    for (const next of then) this.#end(next, amount, 'dispute_lost');
  }

  #charge(): void {
    const fee = 10n + BigInt(this.#dice.below(1_490));
    this.#tell('dispute_fee', { fee }, 'd', { kind: 'dispute', amount: -fee }, [[MP, PR, fee]]);
  }

  #end(outcome: 'dispute_won' | 'dispute_lost', amount: bigint, before: 'open' | 'dispute_lost'): void {
    this.#later(10);
    const [from, to] = outcome === 'dispute_lost' ? ([DR, PR] as const) : ([before === 'open' ? DR : PR, MP] as const);
    const move = outcome === 'dispute_won' ? ({ kind: 'dispute', amount } as const) : undefined;
    this.#tell(outcome, {}, 'd', move, [[from, to, amount]]);
  }

  #settle(captured: bigint): void {
    if (this.#free <= 0n) return;
    const amount = this.#free < captured ? this.#free : captured;
    const fee = amount / 100n;
    this.#later(3);
    this.#tell('settled', { amount, fee }, 's', undefined, [
      ['cash', PR, amount - fee],
      ['provider_fees', PR, fee],
    ]);
  }

  #moved(type: FactType, kind: Move['kind'], amount: bigint, object: string, stage?: DisputeStage): void {
    const size = amount < 0n ? -amount : amount;
    const other = kind === 'dispute' ? DR : PR;
    const book = amount > 0n ? ([other, MP, size] as const) : ([MP, other, size] as const);
    this.#tell(type, { amount: size, ...(stage && { stage }) }, object, { kind, amount }, [book]);
  }

  #tell(type: FactType, said: Partial<Fact>, object?: string, move?: Move, book: Happening['book'] = []): void {
    const { ref } = this.#options;
    const fact: Fact = {
      id: `${ref}-${this.happenings.length + 1}`,
      source: 'provider',
      type,
      amountKind: 'delta',
      occurredAtMs: this.#atMs,
      ...(object !== undefined && { objectRef: `${ref}-${object}` }),
      ...said,
    };
    this.happenings.push({ fact, move, book });
  }

  #later(days: number): void {
    this.#atMs += 60_000 + Math.floor(this.#dice.next() ** 2 * days * this.#options.pace * DAY_MS);
    this.#snap();
  }

  /** Now and then to where a business day ends: a millisecond before, at, or a millisecond after. Never back. */
  #snap(): void {
    if (!this.#chance(AT_AN_EDGE)) return;
    const { toMs } = this.#options.wall.dayAt(this.#atMs);
    this.#atMs = Math.max(this.#atMs, toMs - 1 + this.#dice.below(3));
  }

  /** Many whose percents lie just between two units. */
  #amount(): bigint {
    const amount = BigInt(20 + this.#dice.below(1_200) ** 2);
    return this.#chance(0.5) ? (amount / 20n) * 20n + 20n : amount;
  }

  /** Less than all of it. */
  #part(of: bigint): bigint {
    return 1n + BigInt(this.#dice.below(Math.max(1, Number(of) - 1)));
  }

  #chance(of: number): boolean {
    return this.#dice.next() < of;
  }
}

/** What the accounts have when exactly these have happened, and were told. */
export function bookOf(happenings: readonly Happening[]): Books {
  const books = new Books();
  for (const { book } of happenings) for (const [debit, credit, amount] of book) books.post(debit, credit, amount);
  return books;
}
