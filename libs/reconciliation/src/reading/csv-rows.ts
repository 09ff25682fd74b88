const QUOTE = '"';
const RETURN = 13;

/** A row as it is cut out of the file; its line is the physical one that it begins in. */
export interface CsvRow {
  readonly cells: readonly string[];
  readonly line: number;
  readonly raw: string;
}

/** What has no cells, and why. */
export interface BrokenRow {
  readonly problem: string;
  readonly line: number;
  readonly raw: string;
}

export interface CsvForm {
  readonly separator: string;
  readonly newline: string;
  readonly firstLine: number;
  readonly rowBytes: number;
}

interface Taker {
  take(row: CsvRow): void;
  refuse(row: BrokenRow): void;
}

/** A row that has quotes: its cells and where the next one begins; `open`: its end has not come yet; else why it is none. */
type Cut = { readonly cells: string[]; readonly next: number } | 'open' | { readonly problem: string };

/**
 * Cuts CSV (RFC 4180) into rows, piece by piece. Text is Latin-1, whatever was written: separators, quotes and newlines are the same
 * bytes in UTF-8, and no character is cut in two. A quote that is never closed, or closed in the middle of a cell, costs its own line
 * alone: the next line is read as if there had been no quote.
 */
export class CsvRows {
  private rest = '';
  private line: number;
  /** Of a line that is too long the rest is passed over. */
  private skipping = false;

  constructor(
    private readonly form: CsvForm,
    private readonly taker: Taker,
  ) {
    this.line = form.firstLine;
  }

  read(piece: string): void {
    this.rest = this.cut(this.rest + piece, false);
  }

  end(): void {
    const { newline } = this.form;
    if (this.rest !== '') this.cut(this.rest.endsWith(newline) ? this.rest : this.rest + newline, true);
    this.rest = '';
  }

  /** What is left over. */
  private cut(text: string, isEnd: boolean): string {
    let start = 0;
    let quote = text.indexOf(QUOTE);
    for (;;) {
      const end = text.indexOf(this.form.newline, start);
      if (end === -1) return this.leftOver(text.slice(start));
      if (quote !== -1 && quote < start) quote = text.indexOf(QUOTE, start);
      if (this.skipping || end - start > this.form.rowBytes) this.pass(text, start, end);
      else if (quote === -1 || quote > end) this.plain(text, start, end);
      else {
        const next = this.quotes(text, start, isEnd);
        if (next === -1) return text.slice(start);
        start = next;
        continue;
      }
      start = end + 1;
      this.line += 1;
    }
  }

  private leftOver(rest: string): string {
    if (this.skipping) return '';
    if (rest.length <= this.form.rowBytes) return rest;
    this.tooLong(rest);
    this.skipping = true;
    return '';
  }

  /** Of a line that is too long. */
  private pass(text: string, start: number, end: number): void {
    if (!this.skipping) this.tooLong(text.slice(start, end));
    this.skipping = false;
  }

  private tooLong(raw: string): void {
    this.taker.refuse({ problem: `is longer than ${this.form.rowBytes} bytes`, line: this.line, raw });
  }

  private plain(text: string, start: number, newline: number): void {
    const end = text.charCodeAt(newline - 1) === RETURN && newline > start ? newline - 1 : newline;
    if (end === start) return;
    const raw = text.slice(start, end);
    this.taker.take({ cells: raw.split(this.form.separator), line: this.line, raw });
  }

  /** Where to go on; −1: when more has come. */
  private quotes(text: string, start: number, isEnd: boolean): number {
    const cut = this.cutQuoted(text, start);
    const isOpen = cut === 'open' && !isEnd && text.length - start <= this.form.rowBytes;
    if (isOpen) return -1;
    const { line } = this;
    if (cut !== 'open' && 'cells' in cut && cut.next - start <= this.form.rowBytes) {
      this.line += this.linesIn(text, start, cut.next);
      this.taker.take({ cells: cut.cells, line, raw: text.slice(start, cut.next - 1) });
      return cut.next;
    }
    const end = text.indexOf(this.form.newline, start);
    const isUnclosed = cut === 'open' || 'cells' in cut;
    const problem = isUnclosed ? 'has a quote that is not closed' : cut.problem;
    this.taker.refuse({ problem, line, raw: text.slice(start, end) });
    this.line += 1;
    return end + 1;
  }

  private linesIn(text: string, start: number, next: number): number {
    let lines = 0;
    for (let at = text.indexOf(this.form.newline, start); at !== -1 && at < next; lines += 1) {
      at = text.indexOf(this.form.newline, at + 1);
    }
    return lines;
  }

  private cutQuoted(text: string, start: number): Cut {
    const { separator, newline } = this.form;
    const cells: string[] = [];
    for (let at = start; ; at += 1) {
      const end = text[at] === QUOTE ? closing(text, at) : this.plainEnd(text, at);
      if (end === -1) return 'open';
      const isQuoted = text[at] === QUOTE;
      cells.push(isQuoted ? text.slice(at + 1, end).replaceAll('""', QUOTE) : text.slice(at, end));
      at = isQuoted ? end + 1 : end;
      if (text[at] === '\r' && text[at + 1] === newline) at += 1;
      if (at >= text.length) return 'open';
      if (text[at] === newline) return { cells, next: at + 1 };
      if (text[at] !== separator) return { problem: 'has a quote in the middle of a cell' };
    }
  }

  private plainEnd(text: string, start: number): number {
    const [separator, newline] = [this.form.separator.charCodeAt(0), this.form.newline.charCodeAt(0)];
    for (let at = start; at < text.length; at += 1) {
      const code = text.charCodeAt(at);
      if (code === separator) return at;
      if (code === newline) return at > start && text.charCodeAt(at - 1) === RETURN ? at - 1 : at;
    }
    return -1;
  }
}

/** The quote that closes one; −1: it has not come yet. */
function closing(text: string, opening: number): number {
  for (let at = text.indexOf(QUOTE, opening + 1); at !== -1; at = text.indexOf(QUOTE, at + 2)) {
    if (at + 1 >= text.length) return -1;
    if (text[at + 1] !== QUOTE) return at;
  }
  return -1;
}
