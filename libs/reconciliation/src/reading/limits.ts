/** What a reader takes: whatever is sent, it holds no more than a few of these at once. */
export interface ReadingLimits {
  /** Of a row of CSV; of XML, how much may come between one element's beginning or end and the next. */
  readonly rowBytes: number;
  /** Elements of XML within each other. camt.053 has about 15. */
  readonly depth: number;
  /** Of a bank, in one file: each is kept until the file has ended. */
  readonly statements: number;
  /** Transactions of a bank in one file that have no reference of its own, and differ: each is counted until the file has ended. */
  readonly nameless: number;
}

export const READING_LIMITS: ReadingLimits = { rowBytes: 65_536, depth: 64, statements: 10_000, nameless: 100_000 };
