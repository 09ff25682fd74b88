/** Long work in pieces: it yields wherever others may have their turn of the event loop. */
export type Pieces<T> = Generator<void, T, void>;

/** How long a piece of long work has the event loop, about. */
const TURN_MS = 1;

/** Long works that wait to go on. */
const waiting: (() => void)[] = [];

/**
 * Resolves in a turn of the event loop that no other long work goes on in. A short request needs several turns, one for each answer of
 * PostgreSQL and Redis: in each it waits for one piece of long work, however many of them there are.
 */
function othersTurn(): Promise<void> {
  return new Promise((resolve) => {
    if (waiting.push(resolve) === 1) setImmediate(goOn);
  });
}

function goOn(): void {
  waiting.shift()?.();
  if (waiting.length > 0) setImmediate(goOn);
}

/** A long work's turn of the event loop. */
export class Turn {
  #endsAt = performance.now() + TURN_MS;

  get isOver(): boolean {
    return performance.now() >= this.#endsAt;
  }

  /** Others have theirs first. */
  async next(): Promise<void> {
    await othersTurn();
    this.#endsAt = performance.now() + TURN_MS;
  }
}

export function* mapped<T, R>(items: readonly T[], map: (item: T) => R): Pieces<R[]> {
  const results: R[] = [];
  for (const item of items) {
    results.push(map(item));
    yield;
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

/** Works it off, with others' turns in between. */
export async function finishInTurns<T>(work: Pieces<T>): Promise<T> {
  const turn = new Turn();
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
    if (turn.isOver) await turn.next();
  }
}

/** Calls back with each item, in order; others have their turn in between. It ends when `work` answers false. */
export async function inTurns<T>(
  items: readonly T[],
  work: (item: T, index: number) => boolean | undefined,
): Promise<void> {
  const turn = new Turn();
  for (const [index, item] of items.entries()) {
    if (turn.isOver) await turn.next();
    if (work(item, index) === false) return;
  }
}
