/**
 * In thousandths of a unit; a unit is 0.1 ms of CPU of all processes: the API, the worker that follows the log, PostgreSQL and Redis. As
 * it is under load, when groups are large: that is when budgets matter.
 */
export interface Price {
  /** Whatever comes of the request, unless it is refused as it stands; and each time that it looks for news again. */
  readonly base: number;
  /** A row that is read. */
  readonly row: number;
  /** An entry that is written. */
  readonly entry: number;
  /** 1,024 bytes of its body or answer. */
  readonly kib: number;
}

/** What each route says it costs, as measured: docs/figures/limits.md. */
export const PRICES = {
  /** From Redis or this process; a row is a balance that the database is asked for. */
  balance: { base: 1_000, row: 2_000, entry: 0, kib: 30 },
  /** One thing by its id. */
  get: { base: 6_500, row: 100, entry: 0, kib: 30 },
  list: { base: 6_500, row: 80, entry: 0, kib: 30 },
  /** A page of the log, or what a stream has told of it: each look for news is as a page. */
  events: { base: 7_500, row: 100, entry: 0, kib: 30 },
  /** Rows that are no entries: an account, an endpoint, a secret. */
  change: { base: 40_000, row: 100, entry: 1_400, kib: 100 },
  posting: { base: 12_000, row: 200, entry: 1_400, kib: 100 },
  /** A request to a payment, or what is told of one: its facts beside its entries. */
  payment: { base: 12_000, row: 200, entry: 2_600, kib: 100 },
  /** What a provider itself sends of its merchant's payments; it is kept as it came, too. */
  webhook: { base: 16_000, row: 200, entry: 2_600, kib: 100 },
  /** With the bank's part. */
  payout: { base: 250_000, row: 200, entry: 2_600, kib: 100 },
  /** A report, as it comes; its rows are matched later. */
  upload: { base: 10_000, row: 100, entry: 0, kib: 500 },
  /** What nobody needs a key for, and what is refused as it stands. */
  open: { base: 1_500, row: 0, entry: 0, kib: 30 },
} as const satisfies Record<string, Price>;

/** A row that a search looked at and that did not fit, of any list: it is read and tested, and nothing is made of it. */
export const PASSED_BY = 10;

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
  readonly passedBy: number;
  readonly entries: number;
  readonly bytes: number;
  readonly rounds: number;
}

const THOUSANDTHS = 1_000;
const KIB = 1_024;
/** Of a body, with its share of what else stands there. */
const BYTES_PER_ENTRY = 100;

/** As it is published. */
export function inUnits({ base, row, entry, kib }: Price): Record<keyof Price, number> {
  return { base: base / THOUSANDTHS, row: row / THOUSANDTHS, entry: entry / THOUSANDTHS, kib: kib / THOUSANDTHS };
}

/** Whole units, at least one. */
export function estimateOf(price: Price, { bytes, rows }: Announced): number {
  const entries = price.entry === 0 ? 0 : bytes / BYTES_PER_ENTRY;
  return unitsOf(price, { rows, passedBy: 0, entries, bytes, rounds: 1 });
}

export function unitsOf({ base, row, entry, kib }: Price, touched: Touched): number {
  const { rows, passedBy, entries, bytes, rounds } = touched;
  const thousandths = base * rounds + row * rows + PASSED_BY * passedBy + entry * entries + (kib * bytes) / KIB;
  return Math.max(1, Math.round(thousandths / THOUSANDTHS));
}
