import { setImmediate as othersTurn } from 'node:timers/promises';

/** Long work in pieces: it yields wherever others may have their turn of the event loop. */
export type Pieces<T> = Generator<void, T, void>;

/** Some milliseconds' work. A usual group has fewer, and is worked off in one go. */
export const ENTRIES_PER_TURN = 2_000;

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
    await othersTurn();
  }
}
