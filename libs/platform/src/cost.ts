/** A row that is found is about 10 µs of PostgreSQL's; what it takes beside rows is less than that. */
const ROWS_PER_MS = 100;
const ORDINARY_MS = 10;

/**
 * What a request has touched so far: whoever reads rows, writes entries or moves bytes for it tells. What that comes to is said by
 * the price of its route (libs/limits).
 */
export class Cost {
  #rows = 0;
  #entries = 0;
  #bytes = 0;
  #rounds = 1;

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

  /** How often it did what a request costs by itself. */
  get rounds(): number {
    return this.#rounds;
  }

  addRows(count: number): void {
    this.#rows += count;
  }

  /** It asks the database once more, as for another request: what lasts does so whenever there is news. */
  addRound(): void {
    this.#rounds += 1;
  }

  /** Rows that were looked at beside those that were found, by the time that it took: a filter may pass by any number of them. */
  addSearch(ms: number, found: number): void {
    this.#rows += Math.max(0, Math.round((ms - ORDINARY_MS) * ROWS_PER_MS) - found);
  }

  addEntries(count: number): void {
    this.#entries += count;
  }

  addBytes(count: number): void {
    this.#bytes += count;
  }
}
