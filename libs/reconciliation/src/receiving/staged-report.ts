import { ProblemError } from '#kernel/problem.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import type { BadRow, ReportRow } from '../report-row.js';
import { failReport, hearOf, insertReport, type NewReport, type Received, stageRows } from './staging-store.js';

/** What a reader hands over at a time. */
export interface ReadBatch {
  readonly rows: readonly ReportRow[];
  readonly bad: readonly BadRow[];
  readonly statements: readonly object[];
}

export interface StagingParts {
  readonly database: Database;
  /** Rows of one transaction. */
  readonly stageRows: number;
  /** Bad rows that are kept. */
  readonly badRows: number;
  readonly silenceMs: number;
  readonly stepDeadline: () => Deadline;
}

/** A report on its way into PostgreSQL. Nothing is there before the first of it could be read. */
export class StagedReport {
  readonly #parts: StagingParts;
  readonly #report: NewReport;
  #rows: ReportRow[] = [];
  #bad: BadRow[] = [];
  #badCount = 0;
  #keptBad = 0;
  /** What is being written while the next is read. */
  #writing: Promise<void> = Promise.resolve();
  #heartbeat: NodeJS.Timeout | undefined;
  #firstMs = Infinity;
  #lastMs = -Infinity;
  readonly #statements: object[] = [];
  rows = 0;
  badRows = 0;

  constructor(parts: StagingParts, report: NewReport) {
    this.#parts = parts;
    this.#report = report;
  }

  async add({ rows, bad, statements }: ReadBatch): Promise<void> {
    await this.#begin();
    for (const row of rows) this.#addRow(row);
    this.#statements.push(...statements);
    const kept = bad.slice(0, this.#parts.badRows - this.#keptBad);
    this.#bad.push(...kept);
    this.#keptBad += kept.length;
    this.#badCount += bad.length;
    if (this.#rows.length + this.#badCount >= this.#parts.stageRows) await this.#stage();
  }

  /** Resolves when all is committed. */
  async finish(): Promise<Received> {
    await this.#begin();
    await this.#stage();
    await this.#writing;
    const { periodFromMs, periodToMs } = this.#report;
    const fromMs = periodFromMs ?? Math.min(this.#firstMs, periodToMs ?? Infinity);
    const toMs = periodToMs ?? Math.max(this.#lastMs, periodFromMs ?? -Infinity);
    return {
      periodFromMs: Number.isFinite(fromMs) ? fromMs : undefined,
      periodToMs: Number.isFinite(toMs) ? toMs : undefined,
      statements: this.#statements.length === 0 ? undefined : JSON.stringify(this.#statements, bigintAsText),
    };
  }

  /** Leaves nothing but why. What cannot be undone now is, as soon as nobody has heard of it for long enough. */
  async fail(why: string): Promise<void> {
    await this.#writing.catch(() => undefined);
    if (this.#heartbeat === undefined) return;
    await failReport(this.#parts.database, this.#report, why, this.#parts.stepDeadline);
  }

  /** To be called in the end, whichever it was. */
  stop(): void {
    clearInterval(this.#heartbeat);
  }

  async #begin(): Promise<void> {
    if (this.#heartbeat !== undefined) return;
    const { database, silenceMs, stepDeadline } = this.#parts;
    await insertReport(database, this.#report, stepDeadline());
    const hear = () => void hearOf(database, this.#report, stepDeadline()).catch(() => undefined);
    this.#heartbeat = setInterval(hear, silenceMs / 4).unref();
  }

  #addRow(row: ReportRow): void {
    this.#rows.push(row);
    this.#firstMs = Math.min(this.#firstMs, row.occurredAtMs);
    this.#lastMs = Math.max(this.#lastMs, row.occurredAtMs);
  }

  async #stage(): Promise<void> {
    await this.#writing;
    const batch = { rows: this.#rows, bad: this.#bad, badCount: this.#badCount };
    [this.#rows, this.#bad, this.#badCount] = [[], [], 0];
    if (batch.rows.length + batch.badCount === 0) return;
    this.#writing = this.#write(batch);
    // Whoever waits for it next is told.
    this.#writing.catch(() => undefined);
  }

  async #write(batch: Parameters<typeof stageRows>[2]): Promise<void> {
    const isReceived = await stageRows(this.#parts.database, this.#report, batch, this.#parts.stepDeadline());
    if (!isReceived) throw givenUp();
    this.rows += batch.rows.length;
    this.badRows += batch.badCount;
  }
}

/** Its process slept, and was taken for dead. */
export function givenUp(): ProblemError {
  return new ProblemError('overloaded', 'The report was given up, since nothing was heard of it. Send it again.', {
    retryAfterS: 1,
  });
}

function bigintAsText(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
