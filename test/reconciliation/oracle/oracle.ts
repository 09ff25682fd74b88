import { decideBank } from './bank.js';
import { batchItems, closeBatches, tellOwnRows } from './batches.js';
import { Book, type KnownRow } from './book.js';
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
    const rows = this.book.receive(told);
    const report = this.book.counts.length - 1;
    this.#decide(told, rows);
    if (told.source !== BANK) tellOwnRows(this.book, rows);
    this.#again(told);
    if (told.source === BANK) this.#statements(told, report);
    else closeBatches(this.world, this.book, told.source, told.provider, report);
    this.#absent(told, report);
  }

  #decide({ source, provider }: ToldReport, rows: readonly KnownRow[]): void {
    if (source === BANK) decideBank(this.world, this.book, rows, this.tolerances);
    else this.#decider.decide(rows, provider);
  }

  /** What an earlier report told that was unknown: whether it is known by now. */
  #again(told: ToldReport): void {
    const breakOf = (row: KnownRow) => this.book.breaks.get(`missing_in_ledger/${row.source}/${row.identity}`);
    const rows = this.book.rowsOf(told.source).filter((row) => breakOf(row)?.isOpen);
    this.book.onlyMatching(() => this.#decide(told, rows));
    for (const row of rows) {
      const found = breakOf(row);
      if (row.match !== undefined && found !== undefined) found.isOpen = false;
    }
  }

  #statements({ statements = [] }: ToldReport, report: number): void {
    for (const { account, id, opening, closing, entries } of statements) {
      if (opening === undefined || closing === undefined || opening + entries === closing) continue;
      const found = { kind: 'payout_mismatch', report, reference: id, difference: closing - opening - entries };
      this.book.addBreak(`payout_mismatch/${BANK}/statement/${account}/${id}`, found);
    }
  }

  #absent({ source, provider, fromMs, toMs, slaDays, nowMs }: ToldReport, report: number): void {
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
