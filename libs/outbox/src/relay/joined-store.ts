import type { Span } from '@opentelemetry/api';
import type { EventBatch } from '../log/position.js';
import type { RelayPlaces } from './relay.js';
import type { Handed, LookLimits, RelayStore } from './relay-store.js';

/** How long whoever has dispatched waits for the others that found something in the same look. */
const MOVE_WITHIN_MS = 10;

/** Asked for by one target. */
interface Ask<In, Out> {
  consumer: string;
  what: In;
  resolve(answer: Out | Promise<Out>): void;
}
type Look = Ask<{ partitions: readonly number[]; limits: LookLimits }, EventBatch[]>;
type Move = Ask<{ handed: readonly Handed[]; within: Span | undefined }, Set<number>>;

/**
 * The relays of one process, each of a target of its own, at the places of the log: what they look for at one moment is one statement, and so is
 * what they have dispatched of it. A joined statement that fails is made again for each by itself, so that a target's trouble is its own.
 */
export class JoinedStore implements RelayPlaces {
  readonly #store: RelayStore;
  #looks: Look[] = [];
  #moves: Move[] = [];
  /** Who has found something and has not said yet that it is dispatched. */
  readonly #dispatching = new Set<string>();
  #timer: NodeJS.Timeout | undefined;

  constructor(store: RelayStore) {
    this.#store = store;
  }

  register(...of: Parameters<RelayStore['register']>): Promise<void> {
    return this.#store.register(...of);
  }

  next(consumer: string, partitions: readonly number[], limits: LookLimits): Promise<EventBatch[]> {
    // Who failed to dispatch what it found comes back here.
    this.#dispatching.delete(consumer);
    if (this.#looks.length === 0) setImmediate(() => this.#look());
    return new Promise((resolve) => this.#looks.push({ consumer, what: { partitions, limits }, resolve }));
  }

  move(consumer: string, handed: readonly Handed[], within?: Span): Promise<Set<number>> {
    this.#dispatching.delete(consumer);
    const moved = new Promise<Set<number>>((resolve) =>
      this.#moves.push({ consumer, what: { handed, within }, resolve }),
    );
    if (this.#dispatching.size === 0) this.#move();
    else this.#timer ??= setTimeout(() => this.#move(), MOVE_WITHIN_MS);
    return moved;
  }

  /** Those who hold the same partitions: between two renewals of the lease all do. */
  #look(): void {
    const looks = this.#looks;
    this.#looks = [];
    const alike = Map.groupBy(looks, ({ what }) => `${what.partitions} ${what.limits.resendMs}`);
    for (const [first, ...others] of alike.values()) if (first) this.#lookTogether([first, ...others], first.what);
  }

  #lookTogether(looks: readonly Look[], { partitions, limits }: Look['what']): void {
    const targets = looks.map(({ consumer, what }) => ({ consumer, batchSize: what.limits.batchSize }));
    const found = this.#store.nextOf(targets, partitions, limits.resendMs).then((batches) => {
      for (const [consumer, its] of batches) {
        if (its.some(({ merchantId }) => merchantId === undefined)) this.#dispatching.add(consumer);
      }
      return batches;
    });
    answer(looks, found, ({ consumer, what }) => this.#store.next(consumer, what.partitions, what.limits), []);
  }

  #move(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const moves = this.#moves;
    this.#moves = [];
    const handed = new Map(moves.map(({ consumer, what }) => [consumer, what.handed]));
    const within = moves.find(({ what }) => what.within !== undefined)?.what.within;
    const moved = this.#store.moveOf(handed, within);
    answer(moves, moved, ({ consumer, what }) => this.#store.move(consumer, what.handed, what.within), new Set());
  }
}

/** To each its part of the joined answer; where that failed, what it gets when it asks alone. */
function answer<In, Out>(
  asks: readonly Ask<In, Out>[],
  joined: Promise<ReadonlyMap<string, Out>>,
  alone: (ask: Ask<In, Out>) => Promise<Out>,
  nothing: Out,
): void {
  for (const ask of asks) {
    const own = joined.then((answers) => answers.get(ask.consumer) ?? nothing);
    ask.resolve(asks.length === 1 ? own : own.catch(() => alone(ask)));
  }
}
