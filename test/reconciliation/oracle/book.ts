import type { Item } from './items.js';
import { OF_PAYMENTS, type ToldReport, type ToldRow } from './told.js';

/** Where the oracle writes down what is matched and what is broken. */

/** A row that was told for the first time, and what became of it. */
export interface KnownRow extends ToldRow {
  readonly source: string;
  /** From 0, in the order in which they came. */
  readonly report: number;
  match?: Match;
  /** The break that it has, open or not. */
  break?: Break;
}

export interface Match {
  readonly rule: string;
  readonly report: number;
  readonly line: number;
}

export interface Break {
  readonly kind: string;
  isOpen: boolean;
  readonly report: number;
  readonly line?: number;
  readonly reference?: string | undefined;
  /** What it holds back. */
  readonly item?: string;
  readonly difference?: bigint;
  readonly candidates?: readonly string[];
}

export class Book {
  /** By source and identity. */
  readonly rows = new Map<string, KnownRow>();
  readonly matched = new Map<string, Match>();
  /** By fingerprint. */
  readonly breaks = new Map<string, Break>();
  readonly counts: { repeated: number; expected: number }[] = [];

  /** What rows that are being decided have had until now holds nothing back. */
  readonly #undecided = new Set<Break>();

  /** Whoever has an open break is decided with the others, as if it were told now. */
  decide(rows: readonly KnownRow[], decide: () => void): void {
    for (const row of rows) if (row.break?.isOpen) this.#undecided.add(row.break);
    decide();
    this.#undecided.clear();
  }

  /** Found twice it is one; it is another where the one before has ended by itself. */
  addBreak(fingerprint: string, found: Omit<Break, 'isOpen'>): void {
    const nth = this.#allOf(fingerprint);
    const before = this.breaks.get(nth.at(-1) ?? '');
    if (before?.isOpen && before.difference === found.difference) return;
    if (before?.isOpen) before.isOpen = false;
    this.breaks.set(before ? `${fingerprint} ${nth.length}` : fingerprint, { ...found, isOpen: true });
  }

  endBreaks(fingerprint: string): void {
    for (const key of this.#allOf(fingerprint)) {
      const found = this.breaks.get(key);
      if (found) found.isOpen = false;
    }
  }

  /** Oldest first. */
  #allOf(fingerprint: string): string[] {
    return [...this.breaks.keys()].filter((key) => key === fingerprint || key.startsWith(`${fingerprint} `));
  }

  /** Of a match: there is one, and nothing ends it by itself. */
  addBreakOfMatch(fingerprint: string, found: Omit<Break, 'isOpen'>): void {
    if (!this.breaks.has(fingerprint)) this.breaks.set(fingerprint, { ...found, isOpen: true });
  }

  /** What is true of a row that is in no match: what it had is kept where it says that, or it ends. */
  breakRow(kind: string, row: KnownRow, more: Partial<Break> = {}): void {
    const { report, line, source, identity } = row;
    const found = { kind, report, line, reference: knownAs(row), ...more, isOpen: true };
    if (row.break?.isOpen && isSame(row.break, found)) {
      this.#undecided.delete(row.break);
      return;
    }
    if (row.break) row.break.isOpen = false;
    row.break = found;
    this.breaks.set(`${kind}/${source}/${identity}, the ${this.breaks.size}th`, found);
    for (const key of [found.item, ...(found.candidates ?? [])]) if (key !== undefined) this.#isTold(key);
  }

  dateMismatch(row: KnownRow): void {
    const { report, line, source, identity } = row;
    const found = { kind: 'date_mismatch', report, line, reference: knownAs(row) };
    this.addBreakOfMatch(`date_mismatch/${source}/${identity}`, found);
  }

  /** Rows and items are the same money. The match has the name of its first row. */
  match(rule: string, rows: readonly KnownRow[], items: readonly Item[]): void {
    const [first] = [...rows].sort(byReportAndLine);
    if (first === undefined) return;
    const match = { rule, report: first.report, line: first.line };
    for (const row of rows) {
      row.match = match;
      if (row.break) row.break.isOpen = false;
    }
    for (const { key } of items) {
      this.matched.set(key, match);
      this.#isTold(key);
    }
  }

  /** Whoever has or names an item has told it. */
  #isTold(key: string): void {
    for (const found of this.breaks.values()) {
      if (found.kind === 'missing_in_report' && found.item === key) found.isOpen = false;
    }
  }

  isHeld(key: string): boolean {
    return [...this.breaks.values()].some((found) => {
      const { isOpen, kind, item } = found;
      return isOpen && kind !== 'missing_in_report' && item === key && !this.#undecided.has(found);
    });
  }

  rowsOf(source: string): KnownRow[] {
    return [...this.rows.values()].filter((row) => row.source === source);
  }

  /** The rows of a report that are told for the first time; what is told twice in it is broken, what another has told is counted. */
  receive({ source, rows }: ToldReport): KnownRow[] {
    const report = this.counts.push({ repeated: 0, expected: 0 }) - 1;
    return [...rows].sort(byLine).flatMap((row) => {
      const key = `${source}/${row.identity}`;
      const known = this.rows.get(key);
      if (known === undefined) {
        const first = { ...row, source, report };
        this.rows.set(key, first);
        return first;
      }
      const counts = this.counts[report];
      if (known.report !== report && counts) counts.repeated++;
      const again = { kind: 'duplicate', report, line: row.line, reference: knownAs(row), difference: row.gross };
      if (known.report === report) this.addBreak(`duplicate/${key}/${row.line}`, again);
      return [];
    });
  }
}

/** What its breaks name a row by: one that is of no payment may have its batch alone. */
export function knownAs({ type, reference, batch }: ToldRow): string | undefined {
  return OF_PAYMENTS.includes(type) ? reference : (reference ?? batch);
}

function isSame(a: Break, b: Break): boolean {
  const [named, now] = [a, b].map(({ candidates = [] }) => [...candidates].sort().join());
  return a.kind === b.kind && a.item === b.item && a.difference === b.difference && named === now;
}

export const byLine = (a: ToldRow, b: ToldRow): number => a.line - b.line;

export const byReportAndLine = (a: KnownRow, b: KnownRow): number => a.report - b.report || a.line - b.line;
