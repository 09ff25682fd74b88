/** Who wants to know at once that this process has appended to the log. A hint, never relied on. */
export class CommitHints {
  readonly #listeners = new Set<(merchantIds: readonly bigint[]) => void>();

  /** `listener` must be quick and must not throw. Answers how to stop it. */
  listen(listener: (merchantIds: readonly bigint[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  committed(merchantIds: readonly bigint[]): void {
    for (const listener of this.#listeners) listener(merchantIds);
  }
}
