import type { Oracle } from './oracle.js';

/** What became of a world's reports, as lines that can be compared: reports by their place, payments by their names. */
export interface Shown {
  /** `<report>:<line> <rule> <report>:<line>`, of rows that are known. */
  readonly rows: string[];
  readonly items: string[];
  readonly breaks: string[];
  readonly counts: string[];
}

export interface ShownBreak {
  readonly kind: string;
  readonly isOpen: boolean;
  readonly report: number;
  readonly line?: number | undefined;
  readonly item?: string | undefined;
  readonly reference?: string | undefined;
  readonly difference?: bigint | undefined;
  readonly candidates?: readonly string[] | undefined;
}

export function showBreak({ kind, isOpen, report, line, item, reference, difference, candidates }: ShownBreak): string {
  const parts = [kind, isOpen ? 'open' : 'ended', `${report}:${line ?? '-'}`, reference ?? '-', item ?? '-'];
  // What is proposed for a row that nobody knows is no more than that.
  const named = kind === 'ambiguous' ? [...(candidates ?? [])].sort().join('+') : '';
  return [...parts, difference ?? '-', named].join(' ');
}

export function showOracle({ book }: Oracle): Shown {
  return {
    rows: [...book.rows.values()]
      .map(({ report, line, match }) => {
        return match ? `${report}:${line} ${match.rule} ${match.report}:${match.line}` : `${report}:${line}`;
      })
      .sort(),
    items: [...book.matched].map(([key, { report, line }]) => `${key} ${report}:${line}`).sort(),
    breaks: [...book.breaks.values()].map(showBreak).sort(),
    counts: book.counts.map(({ repeated, expected }) => `${repeated} ${expected}`),
  };
}
