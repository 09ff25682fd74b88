/**
 * Tells parts of this process that it has committed events. A hint only: other processes' commits are not told, and an event
 * that is committed may still be held back by an older transaction. Whoever listens looks into the log anyway, now and then.
 */
export class CommitHints {
  readonly #listeners = new Set<(merchantIds: readonly bigint[]) => void>();

  /** Calls back from now on; the callback must not throw, it is on the way of every posting. */
  listen(listener: (merchantIds: readonly bigint[]) => void): void {
    this.#listeners.add(listener);
  }

  committed(merchantIds: readonly bigint[]): void {
    for (const listener of this.#listeners) listener(merchantIds);
  }
}
