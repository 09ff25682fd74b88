import type { Fact, FactType } from '../../libs/payments/src/facts.js';

export interface LifeOptions {
  /** Names the payment: every event id begins with it. */
  readonly ref: string;
  readonly seed: number;
  readonly sinceMs: number;
  /** How many are told after its beginning at most; 14 unless told. */
  readonly facts?: number;
  /** Whether some captures, refunds and voids are the merchant's own requests, which no provider tells. False unless told. */
  readonly requests?: boolean;
}

/** mulberry32. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** How a provider speaks of captures and refunds: each by its own amount, named or not; or all by what they come to so far. */
type Manner = 'named' | 'unnamed' | 'totals';

/** How a provider tells what happens, drawn by the seed of a life. */
export class Telling {
  readonly options: LifeOptions;
  protected readonly facts: Fact[] = [];
  protected readonly manner: Manner;
  protected readonly currency: string;
  protected atMs: number;
  protected readonly random: () => number;
  readonly #inSeconds: boolean;
  readonly #totals = new Map<FactType, bigint>();
  #objects = 0;

  constructor(options: LifeOptions) {
    this.options = options;
    this.random = randomFrom(options.seed);
    this.atMs = options.sinceMs;
    this.manner = this.oneOf(['named', 'named', 'unnamed', 'totals']);
    this.#inSeconds = this.chance(0.3);
    this.currency = this.oneOf(['EUR', 'USD', 'JPY']);
  }

  // ---- how it is told

  /** Tells of one more capture or refund in the provider's manner; returns its name, if it has one. No amount: all that is left. */
  protected move(
    type: 'captured' | 'refunded',
    amount: bigint | undefined,
    prefix: string,
    more: Partial<Fact> = {},
  ): string | undefined {
    if (this.manner === 'totals') {
      const total = (this.#totals.get(type) ?? 0n) + (amount ?? 0n);
      this.#totals.set(type, total);
      this.tell(type, { amount: total, amountKind: 'cumulative', ...more }, true);
      return undefined;
    }
    const named = this.named(prefix);
    this.tell(type, { ...(amount !== undefined && { amount }), ...named, ...more });
    return named.objectRef;
  }

  protected named(prefix: string): { objectRef?: string } {
    this.#objects += 1;
    return this.manner === 'named' ? { objectRef: `${this.options.ref}-${prefix}${this.#objects}` } : {};
  }

  protected request(type: FactType, amount?: bigint, final = false): void {
    const number = `${this.facts.length + 1}`;
    this.facts.push({
      id: `request:${number}`,
      source: 'request',
      type,
      amountKind: 'delta',
      objectRef: number,
      currency: this.currency,
      occurredAtMs: this.atMs,
      ...(amount !== undefined && { amount }),
      ...(final && { final }),
    });
  }

  protected tell(type: FactType, more: Partial<Fact> = {}, isTotal = false): void {
    // Many providers have whole seconds; their count of events tells what came first.
    const occurredAtMs = this.#inSeconds ? Math.floor(this.atMs / 1_000) * 1_000 : this.atMs;
    const number = this.facts.length + 1;
    const fact: Fact = {
      id: `${this.options.ref}-${number}`,
      source: 'provider',
      type,
      amountKind: 'delta',
      sequence: number,
      occurredAtMs,
      ...more,
    };
    this.facts.push(fact);
    // What has a name, or says what it comes to, may be told again as another event.
    const isSafe = fact.objectRef !== undefined || isTotal;
    if (isSafe && this.chance(0.15) && type !== 'dispute_won' && type !== 'dispute_lost')
      this.facts.push({ ...fact, id: `${fact.id}-again`, sequence: number + 1 });
  }

  // ---- chance

  protected chance(probability: number): boolean {
    return this.random() < probability;
  }

  protected oneOf<T>(choices: readonly T[]): T {
    return choices[Math.floor(this.random() * choices.length)] as T;
  }

  /** Small amounts more often than not, so that two of them are the same now and then. */
  protected amountUpTo(limit: bigint): bigint {
    const most = this.chance(0.5) && limit > 5n ? 5n : limit;
    return 1n + BigInt(Math.floor(this.random() * Number(most)));
  }
}
