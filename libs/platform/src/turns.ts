import { setImmediate as nextRound } from 'node:timers/promises';
import { FairQueue } from './fair-queue.js';

/** Long work in pieces: it yields wherever others may have their turn of the event loop. */
export type Pieces<T> = Generator<void, T, void>;

/** Some milliseconds' work. A usual group has fewer, and is worked off in one go. */
export const ENTRIES_PER_TURN = 2_000;

/** Items of a request that are dealt with before others have their turn: a millisecond or two of the largest. */
export const ITEMS_PER_TURN = 20;

/** Counts down to when it is the others' turn. */
export class Turn {
  #left = ENTRIES_PER_TURN;

  isOverAfter(entries: number): boolean {
    this.#left -= entries;
    if (this.#left > 0) return false;
    this.#left = ENTRIES_PER_TURN;
    return true;
  }
}

export function* mapped<T, R>(items: readonly T[], map: (item: T) => R): Pieces<R[]> {
  const turn = new Turn();
  const results: R[] = [];
  for (const item of items) {
    results.push(map(item));
    if (turn.isOverAfter(1)) yield;
  }
  return results;
}

/** Works it off in one go. */
export function finish<T>(work: Pieces<T>): T {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
  }
}

/** Works it off, with others' turns between the pieces. */
export async function finishInTurns<T>(work: Pieces<T>): Promise<T> {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
    await nextRound();
  }
}

/** Pieces of requests that are long, by merchant; undefined: of whoever is not known, or of the platform. */
const pieces = new FairQueue<bigint | undefined, () => void>();

/**
 * Resolves when the next piece of long work may be done. A round of the event loop has one piece in all, merchants in turn: however
 * much is under way, what comes meanwhile waits for one piece and not for one of each.
 */
export function othersTurn(merchantId?: bigint): Promise<void> {
  return new Promise((resolve) => {
    pieces.push(merchantId, resolve);
    if (pieces.size === 1) setImmediate(serveOne);
  });
}

function serveOne(): void {
  pieces.take()?.();
  if (pieces.size > 0) setImmediate(serveOne);
}

/** Calls back with each item, in order; others have their turn in between. It ends when `work` answers false. */
export async function inTurns<T>(
  items: readonly T[],
  work: (item: T, index: number) => boolean | undefined,
): Promise<void> {
  for (const [index, item] of items.entries()) {
    if (index % ITEMS_PER_TURN === ITEMS_PER_TURN - 1) await othersTurn();
    if (work(item, index) === false) return;
  }
}
