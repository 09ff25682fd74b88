import { netOf, type Row } from './row.js';

const DAY_MS = 86_400_000;
/** What the processor takes for each row that it books, besides. */
const FEE_PER_ROW = 10n;

/** What happened on a day (UTC) is paid out together. */
export interface Batch {
  readonly name: string;
  /** When the day is over. */
  readonly endMs: number;
  rows: Row[];
  /** What the batch before came to, where that was less than nothing. */
  readonly carried: readonly Row[];
}

export type BatchName = (day: string, dayNumber: number) => string;

/** In the order of their days; `name`: as the format has it. */
export function batchesOf(happened: readonly Omit<Row, 'batch'>[], name: BatchName): Batch[] {
  const days = [...Map.groupBy(happened, ({ atMs }) => Math.floor(atMs / DAY_MS))].sort(
    ([one], [other]) => one - other,
  );
  const batches: Batch[] = [];
  for (const [number, of] of days) {
    const batch = name(new Date(number * DAY_MS).toISOString().slice(0, 10), number);
    const rows = of.sort(byTime).map((row) => ({ ...row, batch }));
    const before = batches.at(-1);
    const left = before ? endingOf(before).filter(({ type }) => type === 'carried') : [];
    const carried = left.map((row) => ({ ...row, batch, objectRef: `from ${row.batch}`, gross: -row.gross }));
    batches.push({ name: batch, endMs: (number + 1) * DAY_MS, rows, carried });
  }
  return batches;
}

const byTime = (one: Omit<Row, 'batch'>, other: Omit<Row, 'batch'>): number =>
  one.atMs - other.atMs || (one.reference < other.reference ? -1 : 1);

/**
 * What ends a batch: a fee, and of each currency what is paid out, so that all of it comes to nothing. Nothing is collected from merchants:
 * what comes to less than nothing is carried over to the next batch.
 */
export function endingOf({ name: batch, endMs, rows, carried }: Batch): Row[] {
  const own = { reference: '', objectRef: '', fee: 0n, atMs: endMs, batch };
  const currency = rows[0]?.currency ?? '';
  const fee: Row = { ...own, type: 'fee', gross: -FEE_PER_ROW * BigInt(rows.length), currency };
  const all = [...carried, ...rows, ...(rows.length > 0 ? [fee] : [])];
  const ends = [...Map.groupBy(all, (row) => row.currency)].map(([paid, of]): Row => {
    const gross = -of.reduce((sum, row) => sum + netOf(row), 0n);
    if (gross > 0n) return { ...own, type: 'carried', objectRef: 'to the next', gross, currency: paid };
    return { ...own, type: 'payout', gross, currency: paid };
  });
  return [...(rows.length > 0 ? [fee] : []), ...ends.filter(({ gross }) => gross !== 0n)];
}
