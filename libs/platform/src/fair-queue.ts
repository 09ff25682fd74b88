import { type Link, LinkedList } from './linked-list.js';

export interface FairQueueOptions<Key> {
  /** Items that may wait in all; without it whoever pushes bounds them. */
  capacity?: number;
  /** Items of one key that may wait: whoever floods is full by itself. */
  keyCapacity?: number;
  /** Cost that a key of weight 1 may take in its turn. Small is fair; about what an item costs takes one round for each. */
  quantum?: number;
  /** A key's share among those that wait, asked at each of its turns. More than 0. */
  weightOf?: (key: Key) => number;
}

/** Where an item waits; what `remove` takes. */
export interface Place<Key, Item> extends Link {
  readonly item: Item;
  readonly cost: number;
  /** Undefined when the item has left. */
  line: Line<Key, Item> | undefined;
}

/** What waits of one key. */
interface Line<Key, Item> extends Link {
  readonly key: Key;
  readonly places: LinkedList<Place<Key, Item>>;
  /** What it may still take, or has saved for an item that costs more than its turn. */
  deficit: number;
  isInTurn: boolean;
}

const LEAST_WEIGHT = 0.01;

/**
 * Items that keys (merchants) wait with for something they share, taken in turn: deficit round robin (Shreedhar, Varghese, 1995).
 * In its turn a key takes items up to its quantum times its weight, in their order; one that costs more is saved for, round by round.
 * A key that has nothing left loses its savings. So whoever comes new waits for one turn of each other key, however long their lines are,
 * and nothing is idle while anything waits.
 *
 * Every step is O(1), but that an item of many quanta has its key passed over that many times.
 */
export class FairQueue<Key, Item> {
  readonly #options: Required<FairQueueOptions<Key>>;
  readonly #lines = new Map<Key, Line<Key, Item>>();
  /** Lines that have something and are not held; the first one is whose turn it is. */
  readonly #ring = new LinkedList<Line<Key, Item>>();
  readonly #held = new Set<Key>();
  #size = 0;

  constructor(options: FairQueueOptions<Key> = {}) {
    const none = Number.POSITIVE_INFINITY;
    this.#options = { capacity: none, keyCapacity: none, quantum: 1, weightOf: () => 1, ...options };
  }

  get size(): number {
    return this.#size;
  }

  /** Keys that have something and are not held. */
  get ready(): number {
    return this.#ring.length;
  }

  sizeOf(key: Key): number {
    return this.#lines.get(key)?.places.length ?? 0;
  }

  /** At the end of the key's line. Undefined: it is full, for this key or in all. */
  push(key: Key, item: Item, cost = 1): Place<Key, Item> | undefined {
    const { capacity, keyCapacity } = this.#options;
    if (this.#size >= capacity || this.sizeOf(key) >= keyCapacity) return undefined;
    return this.#add(key, item, cost, (line, place) => line.places.push(place));
  }

  /** To the front of the key's line, also where it is full: what was taken and is not done. */
  putBack(key: Key, item: Item, cost = 1): Place<Key, Item> {
    return this.#add(key, item, cost, (line, place) => line.places.unshift(place));
  }

  /** Whose turn it is, and with what. It stays so until that is taken, removed or held. */
  peek(): { key: Key; item: Item; cost: number } | undefined {
    const line = this.#lineInTurn();
    const place = line?.places.first;
    return line && place && { key: line.key, item: place.item, cost: place.cost };
  }

  take(): Item | undefined {
    const line = this.#lineInTurn();
    const place = line?.places.first;
    if (!line || !place) return undefined;
    line.deficit -= place.cost;
    this.remove(place);
    return place.item;
  }

  /** Whoever waits no longer. False: it was gone already. */
  remove(place: Place<Key, Item>): boolean {
    const { line } = place;
    if (!line) return false;
    line.places.remove(place);
    place.line = undefined;
    this.#size -= 1;
    if (line.places.length > 0) return true;
    if (!this.#held.has(line.key)) this.#ring.remove(line);
    this.#lines.delete(line.key);
    return true;
  }

  /** The key has no turn until `release`: it has as much in hand as it may. */
  hold(key: Key): void {
    if (this.#held.has(key)) return;
    this.#held.add(key);
    const line = this.#lines.get(key);
    if (!line) return;
    this.#ring.remove(line);
    line.isInTurn = false;
    // Not more than its next item costs: a key that is held again and again would save without end.
    line.deficit = Math.min(line.deficit, line.places.first?.cost ?? 0);
  }

  isHeld(key: Key): boolean {
    return this.#held.has(key);
  }

  release(key: Key): void {
    if (!this.#held.delete(key)) return;
    const line = this.#lines.get(key);
    if (line) this.#ring.push(line);
  }

  #add(
    key: Key,
    item: Item,
    cost: number,
    into: (line: Line<Key, Item>, place: Place<Key, Item>) => void,
  ): Place<Key, Item> {
    if (!(cost > 0 && Number.isFinite(cost))) throw new RangeError(`nothing costs ${cost}`);
    const line = this.#lines.get(key) ?? this.#begin(key);
    const place = { item, cost, line, before: undefined, after: undefined };
    into(line, place);
    this.#size += 1;
    return place;
  }

  #begin(key: Key): Line<Key, Item> {
    const places = new LinkedList<Place<Key, Item>>();
    const line = { key, places, deficit: 0, isInTurn: false, before: undefined, after: undefined };
    this.#lines.set(key, line);
    if (!this.#held.has(key)) this.#ring.push(line);
    return line;
  }

  /** Passes the turn on until whose it is can pay for its first item. */
  #lineInTurn(): Line<Key, Item> | undefined {
    const { quantum, weightOf } = this.#options;
    for (let line = this.#ring.first; line; line = this.#ring.first) {
      if (!line.isInTurn) {
        line.isInTurn = true;
        line.deficit += quantum * Math.max(weightOf(line.key) || 0, LEAST_WEIGHT);
      }
      if ((line.places.first?.cost ?? 0) <= line.deficit) return line;
      line.isInTurn = false;
      this.#ring.remove(line);
      this.#ring.push(line);
    }
    return undefined;
  }
}
