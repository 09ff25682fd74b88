import { decideBank } from './bank.js';
import { batchItems, closeBatches, tellOwnRows } from './batches.js';
import { Book, type KnownRow, knownAs } from './book.js';
import { Decider } from './decide.js';
import { type Item, itemsOfPayment, itemsOfPayout } from './items.js';
import { DAY_MS, type ToldReport, type Tolerances, type World } from './told.js';

export const USUAL: Tolerances = { amount: 0n, fee: 0n, days: 7 };
const BANK = 'camt053';

/** The law of matching by brute force: what becomes of reports of a world, one after the other. */
export class Oracle {
  readonly book = new Book();
  readonly #decider: Decider;

  constructor(
    readonly world: World,
    readonly tolerances = USUAL,
  ) {
    this.#decider = new Decider(world, this.book, tolerances);
  }

  reconcile(told: ToldReport): void {
    const open = this.book.rowsOf(told.source).filter(isOpen);
    const rows = this.book.receive(told);
    const report = this.book.counts.length - 1;
    const names = new Set(rows.map(nameOf));
    // What an earlier report told under the same name is decided with it, and all that is open once more when it is closed.
    this.#decide(told, [...open.filter((row) => nameOf(row) !== '' && names.has(nameOf(row))), ...rows]);
    if (told.source !== BANK) tellOwnRows(this.book, rows);
    if (told.source === BANK) this.#statements(told, report);
    else closeBatches(this.world, this.book, told.source, told.provider, report);
    this.#decide(told, this.book.rowsOf(told.source).filter(isOpen));
    this.#absent(told, report);
  }

  #decide({ source, provider }: ToldReport, rows: readonly KnownRow[]): void {
    this.book.decide(rows, () => {
      if (source === BANK) decideBank(this.world, this.book, rows, this.tolerances);
      else this.#decider.decide(rows, provider);
    });
  }

  #statements({ statements = [] }: ToldReport, report: number): void {
    const last = new Map(statements.map((statement) => [`${statement.account}/${statement.id}`, statement]));
    for (const { account, id, opening, closing, entries } of last.values()) {
      if (opening === undefined || closing === undefined) continue;
      const fingerprint = `payout_mismatch/${BANK}/statement/${account}/${id}`;
      const difference = closing - opening - entries;
      if (difference === 0n) this.book.endBreaks(fingerprint);
      else this.book.addBreak(fingerprint, { kind: 'payout_mismatch', report, reference: id, difference });
    }
  }

  #absent({ source, provider, fromMs, toMs, slaDays, nowMs }: ToldReport, report: number): void {
    this.#endNoLongerDue(source, provider);
    const items = source === BANK ? this.#bankItems() : this.#paymentItems(provider);
    for (const { key, amount, atMs, isDue, reference } of items) {
      if (!isDue || atMs < fromMs || atMs >= toMs || this.#isSpokenFor(key)) continue;
      const counts = this.book.counts[report];
      if (atMs + slaDays * DAY_MS <= nowMs) {
        const found = { kind: 'missing_in_report', report, reference, item: key, difference: -amount };
        this.book.addBreak(`missing_in_report/${key}`, found);
      } else if (counts) counts.expected++;
    }
  }

  /** What failed meanwhile nobody has to tell. */
  #endNoLongerDue(source: string, provider: string | undefined): void {
    const { payments, payouts } = this.world;
    const of = payments.filter((payment) => provider === undefined || payment.provider === provider);
    const items = source === BANK ? payouts.flatMap(itemsOfPayout) : of.flatMap(itemsOfPayment);
    const due = new Set(items.filter(({ isDue }) => isDue).map(({ key }) => key));
    // A dispute that took nothing after all is no item any more.
    const owners =
      source === BANK ? ['payout/', 'return/'] : of.map(({ provider: name, ref }) => `payment/${name}:${ref}/`);
    for (const found of this.book.breaks.values()) {
      const { kind, item = '' } = found;
      const isGone = owners.some((owner) => item.startsWith(owner)) && !due.has(item);
      if (kind === 'missing_in_report' && isGone) found.isOpen = false;
    }
  }

  #paymentItems(provider: string | undefined): (Item & { reference?: string })[] {
    const payments = this.world.payments.filter((payment) => provider === undefined || payment.provider === provider);
    return payments.flatMap((payment) => {
      const items = itemsOfPayment(payment).filter((item) => !this.#decider.isTaken(payment, item));
      return items.map((item) => ({ ...item, reference: payment.ref }));
    });
  }

  #bankItems(): (Item & { reference?: string })[] {
    const paid = this.world.payouts.flatMap((payout) => {
      return itemsOfPayout(payout).map((item) => ({ ...item, reference: payout.id }));
    });
    return [...paid, ...batchItems(this.book).map((item) => ({ ...item, reference: item.name }))];
  }

  #isSpokenFor(key: string): boolean {
    if (this.book.matched.has(key)) return true;
    return [...this.book.breaks.values()].some(({ kind, isOpen, item, candidates = [] }) => {
      return (isOpen && item === key) || (isOpen && kind === 'ambiguous' && candidates.includes(key));
    });
  }
}

const isOpen = (row: KnownRow): boolean => row.break?.isOpen ?? false;

const nameOf = (row: KnownRow): string => knownAs(row) ?? row.objectRef ?? '';
