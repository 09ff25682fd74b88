/**
 * What a request has touched so far: whoever reads rows, writes entries or moves bytes for it tells. What that comes to is said by
 * the price of its route (libs/limits).
 */
export class Cost {
  #rows = 0;
  #entries = 0;
  #bytes = 0;

  /** Rows that were read, also those that are not shown. */
  get rows(): number {
    return this.#rows;
  }

  /** Entries that were written. */
  get entries(): number {
    return this.#entries;
  }

  /** Of the request's body and of its answer, before compression. */
  get bytes(): number {
    return this.#bytes;
  }

  addRows(count: number): void {
    this.#rows += count;
  }

  addEntries(count: number): void {
    this.#entries += count;
  }

  addBytes(count: number): void {
    this.#bytes += count;
  }
}
