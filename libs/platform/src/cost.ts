/** As LIST_SCAN_ROWS has it, unless it is set. */
const SEARCHED_ROWS = 10_000;

/**
 * What a request has touched so far: whoever reads rows, writes entries or moves bytes for it tells. What that comes to is said by
 * the price of its route (libs/limits).
 */
export class Cost {
  #rows = 0;
  #passedBy = 0;
  #entries = 0;
  #bytes = 0;
  #rounds = 1;
  #mayLookAt: number;

  constructor(searchedRows = SEARCHED_ROWS) {
    this.#mayLookAt = searchedRows;
  }

  /** Rows that were read. */
  get rows(): number {
    return this.#rows;
  }

  /** Rows that a search looked at, and that did not fit. */
  get passedBy(): number {
    return this.#passedBy;
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

  /** How many rows it may still look at in lists, to find those that fit. */
  get mayLookAt(): number {
    return this.#mayLookAt;
  }

  /** Rows that were looked at; those of them that were found are told by whoever shows them. */
  addSearch(looked: number, found: number): void {
    this.#passedBy += looked - found;
    this.#mayLookAt -= looked;
  }

  addEntries(count: number): void {
    this.#entries += count;
  }

  addBytes(count: number): void {
    this.#bytes += count;
  }
}
