import type { BadRow, ReportRow } from '../report-row.js';
import { BadValue, quoted } from './bad-value.js';
import { camtRow, isBooked, type Move, moveOf, ownMove } from './camt053-row.js';
import { BALANCE_PATH, ENTRY_PATH, STATEMENT_PATH, TRANSACTION_PATH } from './camt053-shape.js';
import type { ReadingLimits } from './limits.js';
import type { ReportBatch, StatementFacts } from './report-batch.js';
import { excerptOf, textOf } from './text.js';
import { unreadable } from './unreadable-report.js';
import type { Values } from './xml-records.js';

/** The entry that is being read. */
interface Entry {
  values: Values;
  /** Of its transactions so far. */
  count: number;
  sum: bigint;
  /** The first transaction waits: alone it need not say its amount. */
  first: Values;
}

const NO_VALUES: Values = {};

/** Makes rows and statements of what an XML reader finds in a camt.053, in the file's order. */
export class Camt053Statements {
  private rows: ReportRow[] = [];
  private bad: BadRow[] = [];
  private statements: StatementFacts[] = [];
  private statementsBegun = 0;
  private line = 0;
  private account = '';
  private entry: Entry = newEntry();
  private opening: Move | undefined;
  private closing: Move | undefined;
  private entries = 0n;
  private currency = '';
  /** How many rows without a reference of the bank's own were alike, by what else they say. */
  private readonly counts = new Map<string, number>();

  constructor(private readonly limits: Pick<ReadingLimits, 'statements' | 'nameless'>) {}

  /** What was read since it was asked for last. */
  taken(): ReportBatch {
    const { rows, bad, statements } = this;
    [this.rows, this.bad, this.statements] = [[], [], []];
    return { rows, bad, statements };
  }

  refuse(problem: string, values: Values): void {
    this.line += 1;
    const raw = Object.entries(values).map(([path, value]) => `${path}=${value}`);
    this.bad.push({ line: this.line, problem, excerpt: excerptOf(raw.join(' ')) });
  }

  begin(path: string, outer: Values): void {
    if (path === STATEMENT_PATH) this.beginStatement();
    else if (path === ENTRY_PATH) this.beginEntry(outer);
    else if (path === TRANSACTION_PATH) this.entry.values = outer;
  }

  end(path: string, values: Values): void {
    if (path === TRANSACTION_PATH) this.transaction(values);
    else if (path === ENTRY_PATH) this.endEntry(values);
    else if (path === BALANCE_PATH) this.orRefuse(values, () => this.balance(values));
    else if (path === STATEMENT_PATH) this.orRefuse(values, () => this.endStatement(values));
  }

  private beginStatement(): void {
    this.statementsBegun += 1;
    const { statements } = this.limits;
    if (this.statementsBegun > statements)
      throw unreadable(`has more than ${statements} statements: send it as several files`);
    this.opening = undefined;
    this.closing = undefined;
    this.entries = 0n;
    this.currency = '';
  }

  /** The account stands before what moved on it. */
  private beginEntry(statement: Values): void {
    this.account = accountOf(statement);
    this.entry = newEntry();
  }

  private transaction(values: Values): void {
    const { entry } = this;
    entry.count += 1;
    if (!isBooked(entry.values)) return;
    if (entry.count === 1) {
      entry.first = values;
      return;
    }
    if (entry.count === 2) this.oneOfSeveral(entry.first, 0);
    this.oneOfSeveral(values, entry.count - 1);
  }

  private oneOfSeveral(transaction: Values, index: number): void {
    this.orRefuse({ ...this.entry.values, ...transaction }, () => {
      const move = ownMove(transaction, this.entry.values);
      if (move === undefined) throw new BadValue('does not say its amount, though it is one of several in its entry');
      this.entry.sum += move.amount;
      this.row(transaction, index, move);
    });
  }

  private endEntry(values: Values): void {
    const { entry } = this;
    entry.values = values;
    if (!isBooked(values)) return;
    this.orRefuse(values, () => {
      const move = moveOf(values.Amt, values['Amt@Ccy'], values.CdtDbtInd);
      this.entries += move.amount;
      this.currency ||= move.currency;
      if (entry.count <= 1) this.row(entry.first, 0, move);
      else if (entry.sum !== move.amount) {
        throw new BadValue(
          `its ${entry.count} transactions come to ${entry.sum}, not to ${move.amount}, in minor units`,
        );
      }
    });
  }

  private row(own: Values, index: number, move: Move): void {
    const transaction = { account: this.account, entry: this.entry.values, own, index, move };
    this.rows.push(camtRow(transaction, this.line + 1, (identity) => this.alike(identity)));
    this.line += 1;
  }

  private alike(identity: string): number {
    const count = (this.counts.get(identity) ?? 0) + 1;
    this.counts.set(identity, count);
    const { nameless } = this.limits;
    if (this.counts.size > nameless) {
      throw unreadable(
        `has more than ${nameless} different transactions without an AcctSvcrRef: send it as several files, each of whole days`,
      );
    }
    return count;
  }

  private balance(values: Values): void {
    const code = values['Tp/CdOrPrtry/Cd'];
    if (code !== 'OPBD' && code !== 'PRCD' && code !== 'CLBD') return;
    const move = moveOf(values.Amt, values['Amt@Ccy'], values.CdtDbtInd);
    if (code === 'CLBD') this.closing = move;
    // What the day before closed with, where no opening balance is told.
    else if (code === 'OPBD' || this.opening === undefined) this.opening = move;
  }

  private endStatement(values: Values): void {
    const currency = (
      values['Acct/Ccy'] ??
      this.opening?.currency ??
      this.closing?.currency ??
      this.currency
    ).toUpperCase();
    const others = [this.opening, this.closing].filter((one) => one && one.currency !== currency);
    if (others[0]) throw new BadValue(`a balance in ${others[0].currency} on an account in ${quoted(currency)}`);
    this.statements.push({
      id: textOf(values.Id ?? '', 'Id'),
      account: textOf(accountOf(values), 'Acct'),
      currency,
      opening: this.opening?.amount,
      closing: this.closing?.amount,
      entries: this.entries,
    });
  }

  private orRefuse(values: Values, read: () => void): void {
    try {
      read();
    } catch (error) {
      if (!(error instanceof BadValue)) throw error;
      this.refuse(error.message, values);
    }
  }
}

const newEntry = (): Entry => ({ values: NO_VALUES, count: 0, sum: 0n, first: NO_VALUES });

const accountOf = (statement: Values): string => statement['Acct/Id/IBAN'] ?? statement['Acct/Id/Othr/Id'] ?? '';
