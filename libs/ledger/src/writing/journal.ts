/** Changes of maps and lists in memory that can be undone, newest first. Whatever is to be undone goes through one of these. */
export class Journal {
  readonly #undo: (() => void)[] = [];

  get length(): number {
    return this.#undo.length;
  }

  set<K, V>(map: Map<K, V>, key: K, value: V): void {
    const before = map.get(key);
    this.#undo.push(before === undefined ? () => map.delete(key) : () => map.set(key, before));
    map.set(key, value);
  }

  push<T>(list: T[], item: T): void {
    this.#undo.push(() => list.pop());
    list.push(item);
  }

  /** Undoes all changes but the first `length`. */
  undo(length: number): void {
    while (this.#undo.length > length) this.#undo.pop()?.();
  }
}
