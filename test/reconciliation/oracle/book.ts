import type { Item } from './items.js';
import type { ToldReport, ToldRow } from './told.js';

/** Where the oracle writes down what is matched and what is broken. */

/** A row that was told for the first time, and what became of it. */
export interface KnownRow extends ToldRow {
  readonly source: string;
  /** From 0, in the order in which they came. */
  readonly report: number;
  match?: Match;
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

  #isOnlyMatching = false;

  /** What is decided again opens no break but those that a match may have. */
  onlyMatching(decide: () => void): void {
    this.#isOnlyMatching = true;
    decide();
    this.#isOnlyMatching = false;
  }

  addBreak(fingerprint: string, found: Omit<Break, 'isOpen'>): void {
    const isOfMatch = ['date_mismatch', 'fee_mismatch'].includes(found.kind);
    if ((isOfMatch || !this.#isOnlyMatching) && !this.breaks.has(fingerprint))
      this.breaks.set(fingerprint, { ...found, isOpen: true });
  }

  breakRow(kind: string, row: KnownRow, more: Partial<Break> = {}): void {
    const { report, line, reference, source, identity } = row;
    this.addBreak(`${kind}/${source}/${identity}`, { kind, report, line, reference, ...more });
  }

  /** Rows and items are the same money. The match has the name of its first row. */
  match(rule: string, rows: readonly KnownRow[], items: readonly Item[]): void {
    const [first] = [...rows].sort(byReportAndLine);
    if (first === undefined) return;
    const match = { rule, report: first.report, line: first.line };
    for (const row of rows) row.match = match;
    for (const { key } of items) {
      this.matched.set(key, match);
      const missing = this.breaks.get(`missing_in_report/${key}`);
      if (missing !== undefined) missing.isOpen = false;
    }
  }

  isHeld(key: string): boolean {
    const holds = ({ isOpen, kind, item }: Break) => isOpen && kind !== 'missing_in_report' && item === key;
    return [...this.breaks.values()].some(holds);
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
      const again = { kind: 'duplicate', report, line: row.line, reference: row.reference, difference: row.gross };
      if (known.report === report) this.addBreak(`duplicate/${key}/${row.line}`, again);
      return [];
    });
  }
}

export const byLine = (a: ToldRow, b: ToldRow): number => a.line - b.line;

export const byReportAndLine = (a: KnownRow, b: KnownRow): number => a.report - b.report || a.line - b.line;
