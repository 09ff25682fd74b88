import { batchItems } from './batches.js';
import { type Book, byReportAndLine, type KnownRow } from './book.js';
import { type Item, itemsOfPayout } from './items.js';
import { DAY_MS, type Tolerances, type World } from './told.js';

/** Rows of a bank's statement. */
export function decideBank(world: World, book: Book, rows: readonly KnownRow[], tolerances: Tolerances): void {
  const groups = new Map<string, { item: Item; rows: KnownRow[] }>();
  for (const row of [...rows].sort(byReportAndLine)) {
    const items = row.type === 'payout' ? payoutOf(world, row) : named(book, row);
    const [item] = items;
    if (item === undefined) book.breakRow('missing_in_ledger', row, { difference: row.gross });
    else if (items.length > 1) book.breakRow('ambiguous', row, { candidates: items.map(({ key }) => key) });
    else groups.set(item.key, { item, rows: [...(groups.get(item.key)?.rows ?? []), row] });
  }
  for (const { item, rows: of } of groups.values()) decideItem(book, item, of, tolerances);
}

function payoutOf({ payouts }: World, { reference, gross }: KnownRow): Item[] {
  const key = `${gross < 0n ? 'payout' : 'return'}/${reference}`;
  return payouts.flatMap(itemsOfPayout).filter((item) => item.key === key);
}

function named(book: Book, { batch = '', reference, currency, gross }: KnownRow): Item[] {
  const words = [batch, reference, ...batch.split(/[^A-Za-z0-9_-]+/)];
  const items = batchItems(book).filter(({ name }) => words.includes(name));
  const alike = items.filter((item) => item.currency === currency);
  const equal = alike.filter(({ amount }) => amount === gross);
  if (alike.length === 0) return items;
  return equal.length === 1 ? equal : alike;
}

function decideItem(book: Book, item: Item, rows: readonly KnownRow[], { days }: Tolerances): void {
  const isTaken = book.matched.has(item.key) || book.isHeld(item.key);
  const foreign = rows.filter(({ currency }) => currency !== item.currency);
  const native = rows.filter((row) => !foreign.includes(row));
  const isFree = !(isTaken || item.isUndone || native.length > 0);
  for (const [index, row] of foreign.entries()) {
    book.breakRow('currency_mismatch', row, isFree && index === 0 ? { item: item.key } : {});
  }
  const first = native.find(({ gross }) => gross === item.amount) ?? native[0];
  for (const row of native) {
    const { gross } = row;
    const found = { item: item.key, difference: gross };
    if (isTaken || row !== first) book.breakRow('duplicate', row, { difference: gross });
    else if (item.isUndone) book.breakRow('status_mismatch', row, found);
    else if (gross !== item.amount) {
      book.breakRow('payout_mismatch', row, { ...found, difference: gross - item.amount });
    } else {
      book.match('exact', [row], [item]);
      if (Math.abs(row.atMs - item.atMs) > days * DAY_MS) book.dateMismatch(row);
    }
  }
}
