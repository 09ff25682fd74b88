import type { BadRow, ReportRow } from '../report-row.js';
import { BadValue } from './bad-value.js';
import { type CsvHeader, csvHeader, widthProblem } from './csv-header.js';
import { rowReader } from './csv-row.js';
import { type BrokenRow, type CsvRow, CsvRows } from './csv-rows.js';
import type { ReadingLimits } from './limits.js';
import type { ReportBatch, ReportReader } from './report-batch.js';
import { type CsvProfile, columnsOf } from './sources.js';
import { rawExcerpt } from './text.js';
import { unreadable } from './unreadable-report.js';

const UTF8_MARK = '\xef\xbb\xbf';

/** Reads a processor's CSV: the header, then rows by it. */
export class CsvReader implements ReportReader {
  /** What of the header has come. */
  private start = '';
  private line = 1;
  private rows: CsvRows | undefined;
  private header: CsvHeader | undefined;
  private toRow: (cells: readonly string[], line: number) => ReportRow;
  private found: { rows: ReportRow[]; bad: BadRow[] } = { rows: [], bad: [] };

  constructor(
    private readonly profile: CsvProfile,
    private readonly limits: ReadingLimits,
    /** Rows of others are bad; undefined: there are no others. */
    private readonly accounts?: ReadonlySet<string>,
  ) {}

  read(piece: Buffer): ReportBatch {
    const text = piece.toString('latin1');
    if (this.rows) this.rows.read(text);
    else this.begin(this.start + text, false);
    return this.taken();
  }

  end(): ReportBatch {
    if (!this.rows) this.begin(this.start, true);
    this.rows?.end();
    return this.taken();
  }

  private taken(): ReportBatch {
    const batch = { ...this.found, statements: [] };
    this.found = { rows: [], bad: [] };
    return batch;
  }

  /** The header is the first line that is not empty. */
  private begin(given: string, isEnd: boolean): void {
    const text = this.withoutBlank(given);
    const end = text.search(/\r?\n|\r(?!$)/);
    if (Math.max(end, end === -1 ? text.length : 0) > this.limits.rowBytes) {
      throw unreadable(`has a first line of more than ${this.limits.rowBytes} bytes`);
    }
    if (end === -1 && !isEnd) this.start = text;
    else if (text === '') throw unreadable('is empty');
    else this.open(end === -1 ? text : text.slice(0, end), end === -1 ? '' : text.slice(end));
  }

  private withoutBlank(given: string): string {
    const text = this.line === 1 && given.startsWith(UTF8_MARK) ? given.slice(UTF8_MARK.length) : given;
    const blank = /^[\r\n]*/.exec(text)?.[0] ?? '';
    this.line += blank.split(blank.includes('\n') ? '\n' : '\r').length - 1;
    return text.slice(blank.length);
  }

  private open(line: string, rest: string): void {
    const { needed, optional } = columnsOf(this.profile);
    this.header = csvHeader(line, needed, optional);
    this.toRow = rowReader(this.profile, this.header.columns, this.accounts);
    // Files of old write a return alone.
    const newline = rest.startsWith('\r') && !rest.startsWith('\r\n') ? '\r' : '\n';
    const form = {
      separator: this.header.separator,
      newline,
      firstLine: this.line + 1,
      rowBytes: this.limits.rowBytes,
    };
    this.rows = new CsvRows(form, { take: (row) => this.take(row), refuse: (row) => this.refuse(row) });
    this.start = '';
    this.rows.read(rest.replace(/^\r?\n|^\r/, ''));
  }

  private take({ cells, line, raw }: CsvRow): void {
    try {
      this.checkWidth(cells, raw);
      this.found.rows.push(this.toRow(cells, line));
    } catch (error) {
      if (!(error instanceof BadValue)) throw error;
      // Spreadsheets leave rows of separators behind.
      if (cells.some((cell) => cell.trim() !== '')) this.refuse({ problem: error.message, line, raw });
    }
  }

  private checkWidth(cells: readonly string[], raw: string): void {
    const { width, raw: header } = this.header as CsvHeader;
    if (raw === header) throw new BadValue('is the header once more');
    const problem = widthProblem(cells, width);
    if (problem !== undefined) throw new BadValue(problem);
  }

  private refuse({ problem, line, raw }: BrokenRow): void {
    this.found.bad.push({ line, problem, excerpt: rawExcerpt(raw) });
  }
}
