import type { Book, KnownRow } from './book.js';
import type { Item } from './items.js';
import { sum, type ToldFact, type ToldRow, type World } from './told.js';

/** What processors paid out together: whether it is whole, and what the bank should have of it. */

const OWN = ['fee', 'other', 'payout'];
const BANK = 'camt053';

export const net = ({ gross, fee }: ToldRow): bigint => gross - fee;

export function tellOwnRows(book: Book, rows: readonly KnownRow[]): void {
  for (const row of rows) {
    if (OWN.includes(row.type) && row.batch === undefined) book.match('told', [row], []);
  }
}

/** The batches that a report speaks of, in all currencies, over all reports of its source. */
export function closeBatches(world: World, book: Book, source: string, provider: string | undefined, report: number) {
  const rows = book.rowsOf(source).filter(({ batch }) => batch !== undefined);
  const names = new Set(rows.filter((row) => row.report === report).map(({ batch }) => batch));
  const keys = new Set(rows.filter(({ batch }) => names.has(batch)).map(keyOf));
  for (const key of keys) {
    const own = rows.filter((row) => keyOf(row) === key);
    const [first] = own;
    if (first === undefined) continue;
    const fingerprint = `payout_mismatch/${source}/${key}`;
    const difference = lackOf(world, own, source, provider);
    if (difference !== 0n) {
      book.addBreak(fingerprint, { kind: 'payout_mismatch', report, reference: first.batch, difference });
      continue;
    }
    // One match however often more of the batch turns up.
    book.match(
      'batch',
      own.filter(({ type }) => OWN.includes(type)),
      [],
    );
    book.endBreaks(fingerprint);
  }
}

const keyOf = ({ batch, currency }: ToldRow): string => `${batch}/${currency}`;

/** By what a batch is not whole: within itself or, where it is, against what the ledger was told of it. */
function lackOf(world: World, rows: readonly KnownRow[], source: string, provider: string | undefined): bigint {
  const isPaidLater = source.startsWith('stripe') && rows.every(({ type }) => type !== 'payout');
  const rest = isPaidLater ? 0n : sum(rows.map(net));
  const settled = settledOf(world, rows, provider);
  if (rest !== 0n || settled.length === 0) return rest;
  const told = sum(rows.filter(({ type }) => type === 'payment').map(net));
  return told - sum(settled.map(({ amount = 0n, fee = 0n }) => amount - fee));
}

function settledOf({ payments }: World, [row]: readonly KnownRow[], provider: string | undefined): ToldFact[] {
  return payments
    .filter((payment) => provider === undefined || payment.provider === provider)
    .filter(({ currency }) => currency === row?.currency)
    .flatMap(({ facts }) => facts.filter(({ type, objectRef }) => type === 'settled' && objectRef === row?.batch));
}

/** What the bank should have got: at the time of the last row, be it the one that says that it was paid out. */
export function batchItems(book: Book): (Item & { name: string })[] {
  const batches = new Map<string, KnownRow[]>();
  for (const row of book.rows.values()) {
    if (row.source === BANK || row.batch === undefined) continue;
    const key = `batch/${row.source}/${keyOf(row)}`;
    batches.set(key, [...(batches.get(key) ?? []), row]);
  }
  return [...batches].flatMap(([key, rows]) => {
    const own = rows.filter(({ type }) => type !== 'payout');
    if (own.length === 0) return [];
    const { batch: name = '', currency = '' } = own[0] ?? {};
    const amount = sum(own.map(net));
    const atMs = Math.max(...rows.map((row) => row.atMs));
    // Nobody pays out nothing.
    const item = { key, kind: 'other' as const, objectRef: undefined, isUndone: false, isDue: amount !== 0n };
    return { ...item, name, amount, currency, atMs };
  });
}
