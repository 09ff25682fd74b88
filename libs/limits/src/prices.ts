/** In thousandths of a unit; a unit is 0.1 ms of CPU, the API's and PostgreSQL's together. */
export interface Price {
  /** Whatever comes of the request. */
  readonly base: number;
  /** A row that is read. */
  readonly row: number;
  /** An entry that is written. */
  readonly entry: number;
  /** 1,024 bytes of its body or answer. */
  readonly kib: number;
}

/** What each route says it costs. A list's rows are about 10 µs each; a posting's entries 100, by docs/figures/bench.md. */
export const PRICES = {
  /** From Redis or this process; a row is a balance that the database is asked for. */
  balance: { base: 500, row: 2_500, entry: 0, kib: 30 },
  /** One thing by its id. */
  get: { base: 2_500, row: 100, entry: 0, kib: 30 },
  list: { base: 2_500, row: 100, entry: 0, kib: 30 },
  /** A page of the log, or what a stream has told of it. */
  events: { base: 2_500, row: 60, entry: 0, kib: 30 },
  /** Rows that are no entries: an account, an endpoint, a secret. */
  change: { base: 6_000, row: 100, entry: 1_000, kib: 100 },
  posting: { base: 2_000, row: 100, entry: 1_000, kib: 100 },
  /** A request to a payment, or what a provider tells of one: its facts beside its entries. */
  payment: { base: 5_000, row: 100, entry: 1_000, kib: 100 },
  payout: { base: 6_000, row: 100, entry: 1_000, kib: 100 },
  /** A report, as it comes. */
  upload: { base: 10_000, row: 100, entry: 0, kib: 500 },
  /** What nobody needs a key for. */
  open: { base: 500, row: 0, entry: 0, kib: 30 },
} as const satisfies Record<string, Price>;

export type PriceName = keyof typeof PRICES;

/** What is known of a request before its body is read. */
export interface Announced {
  readonly bytes: number;
  /** Rows that its answer may have. */
  readonly rows: number;
}

/** What has become of it. */
interface Touched {
  readonly rows: number;
  readonly entries: number;
  readonly bytes: number;
}

const THOUSANDTHS = 1_000;
const KIB = 1_024;
/** Of a body, with its share of what else stands there. */
const BYTES_PER_ENTRY = 100;

/** Whole units, at least one. */
export function estimateOf(price: Price, { bytes, rows }: Announced): number {
  return unitsOf(price, { rows, entries: price.entry === 0 ? 0 : bytes / BYTES_PER_ENTRY, bytes });
}

export function unitsOf({ base, row, entry, kib }: Price, { rows, entries, bytes }: Touched): number {
  const thousandths = base + row * rows + entry * entries + (kib * bytes) / KIB;
  return Math.max(1, Math.round(thousandths / THOUSANDTHS));
}
