import { type Book, byReportAndLine, type KnownRow } from './book.js';
import { type Item, itemsOfPayment, nameOf } from './items.js';
import { DAY_MS, distance, OF_PAYMENTS, sum, type ToldPayment, type Tolerances, type World } from './told.js';

/** Rows of payments: the law clause by clause, over plain arrays. */

/** What of a payment and type is decided together. */
interface Group {
  readonly payment: ToldPayment;
  readonly type: string;
  readonly rows: KnownRow[];
}

export class Decider {
  constructor(
    readonly world: World,
    readonly book: Book,
    readonly tolerances: Tolerances,
  ) {}

  decide(rows: readonly KnownRow[], provider: string | undefined): void {
    const groups = new Map<string, Group>();
    for (const row of rows.filter(({ type }) => OF_PAYMENTS.includes(type))) {
      const payments = this.#paymentsOf(row, provider);
      const [payment] = payments;
      if (payment === undefined) {
        this.book.breakRow('missing_in_ledger', row, { difference: row.gross });
      } else if (payments.length > 1) {
        this.book.breakRow('ambiguous', row, { candidates: payments.map(nameOf) });
      } else {
        const key = `${nameOf(payment)}/${row.type}`;
        const group = groups.get(key) ?? { payment, type: row.type, rows: [] };
        group.rows.push(row);
        groups.set(key, group);
      }
    }
    for (const group of groups.values()) this.#decideGroup(group);
    for (const group of groups.values()) if (group.type === 'payment') this.#compareFees(group);
  }

  #paymentsOf({ reference, objectRef }: KnownRow, provider: string | undefined): ToldPayment[] {
    const all = this.world.payments.filter((payment) => provider === undefined || payment.provider === provider);
    const named = all.filter(({ ref }) => ref === reference);
    if (named.length > 0 || objectRef === undefined) return named;
    return all.filter(({ facts }) => facts.some((fact) => fact.type !== 'settled' && fact.objectRef === objectRef));
  }

  #decideGroup({ payment, type, rows }: Group): void {
    const items = itemsOfPayment(payment).filter(({ kind }) => kind === type);
    const before = new Set(items.filter((item) => this.isTaken(payment, item)).map(({ key }) => key));
    const isNative = ({ currency }: KnownRow) => currency === payment.currency;
    const sorted = [...rows].sort(byReportAndLine);
    const native = sorted.filter(isNative);
    const named = new Set(items.filter((item) => native.some((row) => names(row, item))).map(({ key }) => key));
    this.#foreign(
      sorted.filter((row) => !isNative(row)),
      items.filter(({ key, isUndone }) => !(before.has(key) || isUndone || named.has(key))),
    );
    for (const item of items) {
      const of = native.filter((row) => names(row, item));
      if (of.length > 0) this.#named(of, item, before.has(item.key));
    }
    const free = items.filter((item) => {
      return !(before.has(item.key) || item.isUndone || sorted.some((row) => names(row, item)));
    });
    this.#unnamed(
      native.filter((row) => !items.some((item) => names(row, item))),
      free.sort((a, b) => a.atMs - b.atMs || (a.key < b.key ? -1 : 1)),
      items,
    );
  }

  isTaken({ ref }: ToldPayment, { key, kind, objectRef }: Item): boolean {
    if (this.book.matched.has(key) || this.book.isHeld(key)) return true;
    const isTold = (row: KnownRow) => row.match !== undefined && row.reference === ref && row.type === kind;
    return [...this.book.rows.values()].some((row) => {
      return isTold(row) && objectRef !== undefined && row.objectRef === objectRef;
    });
  }

  /** `items`: those that a row of another currency may hold. */
  #foreign(rows: readonly KnownRow[], items: readonly Item[]): void {
    for (const row of rows) {
      const item = items.find((one) => names(row, one) && !this.book.isHeld(one.key));
      this.book.breakRow('currency_mismatch', row, item && { item: item.key });
    }
  }

  #named(rows: readonly KnownRow[], item: Item, isTaken: boolean): void {
    const exact = rows.find(({ gross }) => gross === item.amount);
    const first = exact ?? rows[0];
    if (first === undefined) return;
    const others = rows.filter((row) => row !== first);
    if (isTaken) {
      this.#duplicates(rows);
      return;
    }
    if (item.isUndone) {
      this.book.breakRow('status_mismatch', first, { item: item.key, difference: first.gross });
      this.#duplicates(others);
      return;
    }
    if (exact === undefined && rows.length > 1 && sum(rows.map(({ gross }) => gross)) === item.amount) {
      this.book.match('sum', rows, [item]);
      return;
    }
    if (exact !== undefined) this.#matchOne('exact', exact, item);
    else if (distance(first.gross, item.amount) <= this.tolerances.amount) this.#matchOne('tolerance', first, item);
    else this.#mismatch(first, item);
    this.#duplicates(others);
  }

  #unnamed(rows: readonly KnownRow[], free: readonly Item[], all: readonly Item[]): void {
    let [left, over] = [[...rows], [...free]];
    for (const amount of new Set(rows.map(({ gross }) => gross))) {
      const [n, m] = [left.filter(({ gross }) => gross === amount), over.filter((item) => item.amount === amount)];
      if (m.length > n.length) {
        for (const row of n) this.book.breakRow('ambiguous', row, { candidates: m.map(({ key }) => key) });
        left = left.filter((row) => !n.includes(row));
      } else {
        for (const [index, item] of m.entries()) this.#matchOne('pairs', n[index] as KnownRow, item);
        left = left.filter((row) => row.match === undefined);
      }
      over = over.filter((item) => !m.includes(item));
    }
    this.#left(left, over, all);
  }

  #left(rows: readonly KnownRow[], items: readonly Item[], all: readonly Item[]): void {
    const [row, item] = [rows[0], items[0]];
    const total = sum(rows.map(({ gross }) => gross));
    if (Math.min(rows.length, items.length) === 1 && total === sum(items.map(({ amount }) => amount))) {
      this.book.match('sum', rows, items);
    } else if (rows.length === 1 && items.length === 1 && row && item) {
      this.#mismatch(row, item);
    } else {
      for (const one of rows) this.book.breakRow(this.#unknown(one, all), one, { difference: one.gross });
    }
  }

  #unknown({ gross }: KnownRow, items: readonly Item[]): 'duplicate' | 'missing_in_ledger' {
    const isTold = items.some(({ key, amount }) => amount === gross && this.book.matched.has(key));
    return isTold ? 'duplicate' : 'missing_in_ledger';
  }

  #mismatch(row: KnownRow, { key, amount }: Item): void {
    this.book.breakRow('amount_mismatch', row, { item: key, difference: row.gross - amount });
  }

  #duplicates(rows: readonly KnownRow[]): void {
    for (const row of rows) this.book.breakRow('duplicate', row, { difference: row.gross });
  }

  #matchOne(rule: string, row: KnownRow, item: Item): void {
    this.book.match(rule, [row], [item]);
    if (Math.abs(row.atMs - item.atMs) > this.tolerances.days * DAY_MS) this.book.dateMismatch(row);
  }

  #compareFees({ payment, rows }: Group): void {
    const settled = payment.facts.filter(({ type }) => type === 'settled');
    const [amount, fee] = [sum(settled.map((one) => one.amount ?? 0n)), sum(settled.map((one) => one.fee ?? 0n))];
    const source = rows[0]?.source ?? '';
    const earlier = this.book.rowsOf(source).filter(({ type, reference }) => {
      return type === 'payment' && reference === payment.ref;
    });
    const all = [...new Set([...rows, ...earlier])];
    const told = sum(all.map((row) => row.fee));
    const isComparable = all.every(({ match }) => match) && sum(all.map(({ gross }) => gross)) === amount && fee !== 0n;
    if (!isComparable || distance(told, fee) <= this.tolerances.fee) return;
    const [first] = all.sort(byReportAndLine);
    if (first === undefined) return;
    const { report, line } = first;
    const found = { kind: 'fee_mismatch', report, line, reference: payment.ref, difference: told - fee };
    this.book.addBreakOfMatch(`fee_mismatch/payment/${nameOf(payment)}`, found);
  }
}

function names({ objectRef }: KnownRow, item: Item): boolean {
  return objectRef !== undefined && objectRef === item.objectRef;
}
