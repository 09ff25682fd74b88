import { decimalOf } from '../../simulators/decimal.js';
import { type Booking, bookingsOf } from './booking.js';
import type { Instruction } from './instruction.js';
import { type AccountDay, type PlantedEntry, plantIn, type StatementFault } from './statement-faults.js';
import { element, long, type Xml, xmlDocument } from './xml.js';

/**
 * The bank's statement of a day (UTC) as ISO 20022 camt.053.001.08: what banks send today (001.02 is being switched off), with the
 * status of an entry as a code. Each currency has an account of its own; opening balance + entries = closing balance.
 */
const NAMESPACE = 'urn:iso:std:iso:20022:tech:xsd:camt.053.001.08';
const DAY_MS = 86_400_000;

export const accountOf = (currency: string): string => `COUNTERFOIL-${currency}`;

export interface StatementOptions {
  /** YYYY-MM-DD. */
  readonly date: string;
  /** Of that one alone; else of all. */
  readonly account?: string | undefined;
  readonly nowMs: number;
  readonly faults?: readonly StatementFault[];
}

/** An account is there from the first that is heard of it on. */
export interface Account {
  readonly currency: string;
  readonly instructions: readonly Instruction[];
  readonly credits: readonly Booking[];
}

export interface Statement {
  /** Piece by piece. */
  readonly content: Iterable<string>;
  readonly planted: readonly PlantedEntry[];
}

/** Undefined: there is no such account. */
export function statementOf(all: readonly Account[], options: StatementOptions): Statement | undefined {
  const { date, account, nowMs, faults = [] } = options;
  const accounts = all.filter(({ currency }) => account === undefined || accountOf(currency) === account);
  if (accounts.length === 0) return undefined;
  const days = accounts
    .map((one) => dayOf(one, Date.parse(`${date}T00:00:00Z`)))
    .sort((one, other) => (one.currency < other.currency ? -1 : 1));
  const planted = plantIn(days, faults);
  const header = element('GrpHdr', element('MsgId', `STMT-${date}`), element('CreDtTm', timeOf(nowMs)));
  const statements = [header, ...days.flatMap((day) => [...accountStatement(day, date, nowMs)])];
  const root = long('Document', { xmlns: NAMESPACE }, long('BkToCstmrStmt', {}, statements));
  return { content: xmlDocument(root), planted };
}

function dayOf({ currency, instructions, credits }: Account, fromMs: number): AccountDay {
  const bookings = [...instructions.flatMap(bookingsOf), ...credits];
  return {
    currency,
    opening: sum(bookings.filter(({ atMs }) => atMs < fromMs)),
    bookings: bookings.filter(({ atMs }) => atMs >= fromMs && atMs < fromMs + DAY_MS),
    failed: instructions.filter(({ last }) => last?.status === 'failed'),
    closesBeside: 0n,
  };
}

function accountStatement(
  { currency, opening, bookings, closesBeside }: AccountDay,
  date: string,
  nowMs: number,
): Iterable<Xml> {
  const fromMs = Date.parse(`${date}T00:00:00Z`);
  const head = [
    element('Id', `${date}-${currency}`),
    element('ElctrncSeqNb', String(Math.floor(fromMs / DAY_MS))),
    element('CreDtTm', timeOf(nowMs)),
    element('FrToDt', element('FrDtTm', timeOf(fromMs)), element('ToDtTm', timeOf(fromMs + DAY_MS))),
    element('Acct', element('Id', element('Othr', element('Id', accountOf(currency)))), element('Ccy', currency)),
    balance('OPBD', opening, currency, date),
    balance('CLBD', opening + sum(bookings) + closesBeside, currency, date),
  ];
  return long('Stmt', {}, [...head, ...bookings.map((booking) => entry(booking, date))]);
}

const sum = (bookings: readonly Booking[]): bigint => bookings.reduce((total, { amount }) => total + amount, 0n);

/** OPBD: as the day was opened; CLBD: as it was closed. */
function balance(code: string, total: bigint, currency: string, date: string): Xml {
  const type = element('Tp', element('CdOrPrtry', element('Cd', code)));
  return element('Bal', type, ...signed(total, currency), element('Dt', element('Dt', date)));
}

const FAMILIES = {
  payment: ['ICDT', 'ESCT'],
  return: ['ICDT', 'RRTN'],
  credit: ['RCDT', 'ESCT'],
} as const satisfies Record<Booking['kind'], readonly [string, string]>;

function entry(booking: Booking, date: string): Xml {
  const { kind, reference, amount, currency } = booking;
  const [family, sub] = FAMILIES[kind];
  return element(
    'Ntry',
    element('NtryRef', reference),
    ...signed(amount, currency),
    element('RvslInd', String(kind === 'return')),
    element('Sts', element('Cd', 'BOOK')),
    element('BookgDt', element('Dt', date)),
    element('ValDt', element('Dt', date)),
    element('AcctSvcrRef', reference),
    element(
      'BkTxCd',
      element('Domn', element('Cd', 'PMNT'), element('Fmly', element('Cd', family), element('SubFmlyCd', sub))),
    ),
    element('NtryDtls', details(booking)),
  );
}

function details({ kind, reference, endToEndId, remittance, creditor, amount, currency }: Booking): Xml {
  return element(
    'TxDtls',
    element('Refs', element('AcctSvcrRef', reference), element('EndToEndId', endToEndId)),
    ...signed(amount, currency),
    ...(creditor
      ? [element('RltdPties', element('CdtrAcct', element('Id', element('Othr', element('Id', creditor)))))]
      : []),
    element('RmtInf', element('Ustrd', remittance)),
    // AC04: the account is closed.
    ...(kind === 'return' ? [element('RtrInf', element('Rsn', element('Cd', 'AC04')))] : []),
  );
}

/** An amount is never below zero; beside it stands which way it goes. */
function signed(amount: bigint, currency: string): [Xml, Xml] {
  const [size, way] = amount < 0n ? [-amount, 'DBIT'] : [amount, 'CRDT'];
  return [element('Amt', { Ccy: currency }, decimalOf(size, currency)), element('CdtDbtInd', way)];
}

const timeOf = (ms: number): string => new Date(ms).toISOString();
