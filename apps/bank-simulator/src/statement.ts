import { currencyExponent } from '#kernel/money.js';
import type { Instruction, Word } from './instruction.js';
import { element, type Xml, xmlDocument } from './xml.js';

/**
 * The bank's statement of a day (UTC) as ISO 20022 camt.053.001.08: what banks send today (001.02 is being switched off), with the
 * status of an entry as a code. Each currency has an account of its own; opening balance + entries = closing balance.
 */
const NAMESPACE = 'urn:iso:std:iso:20022:tech:xsd:camt.053.001.08';
const DAY_MS = 86_400_000;

interface Booking {
  readonly instruction: Instruction;
  readonly word: Word;
  /** Signed: what is paid out is below zero. */
  readonly amount: bigint;
}

export const accountOf = (currency: string): string => `COUNTERFOIL-${currency}`;

/** `account`: of that one alone; else of all. An account is there from its first instruction on; undefined: there is none. */
export function statementOf(
  instructions: Iterable<Instruction>,
  date: string,
  account: string | undefined,
  nowMs: number,
): string | undefined {
  const accounts = Map.groupBy(instructions, ({ order }) => order.currency);
  const currencies = [...accounts.keys()].filter((one) => account === undefined || accountOf(one) === account).sort();
  if (currencies.length === 0) return undefined;
  const statements = currencies.map((currency) => {
    const bookings = (accounts.get(currency) ?? []).flatMap(bookingsOf);
    return accountStatement(currency, bookings, date, nowMs);
  });
  const header = element('GrpHdr', element('MsgId', `STMT-${date}`), element('CreDtTm', timeOf(nowMs)));
  return xmlDocument(element('Document', { xmlns: NAMESPACE }, element('BkToCstmrStmt', header, ...statements)));
}

function bookingsOf(instruction: Instruction): Booking[] {
  const amount = BigInt(instruction.order.amount);
  return instruction.words.flatMap((word) => {
    if (word.status === 'paid') return [{ instruction, word, amount: -amount }];
    return word.status === 'returned' ? [{ instruction, word, amount }] : [];
  });
}

function accountStatement(currency: string, bookings: readonly Booking[], date: string, nowMs: number): Xml {
  const fromMs = Date.parse(`${date}T00:00:00Z`);
  const before = bookings.filter(({ word }) => word.atMs < fromMs);
  const ofDay = bookings.filter(({ word }) => word.atMs >= fromMs && word.atMs < fromMs + DAY_MS);
  const opening = sum(before);
  return element(
    'Stmt',
    element('Id', `${date}-${currency}`),
    element('ElctrncSeqNb', String(Math.floor(fromMs / DAY_MS))),
    element('CreDtTm', timeOf(nowMs)),
    element('FrToDt', element('FrDtTm', timeOf(fromMs)), element('ToDtTm', timeOf(fromMs + DAY_MS))),
    element('Acct', element('Id', element('Othr', element('Id', accountOf(currency)))), element('Ccy', currency)),
    balance('OPBD', opening, currency, date),
    balance('CLBD', opening + sum(ofDay), currency, date),
    ...ofDay.map((booking) => entry(booking, date)),
  );
}

const sum = (bookings: readonly Booking[]): bigint => bookings.reduce((total, { amount }) => total + amount, 0n);

/** OPBD: as the day was opened; CLBD: as it was closed. */
function balance(code: string, total: bigint, currency: string, date: string): Xml {
  const type = element('Tp', element('CdOrPrtry', element('Cd', code)));
  return element('Bal', type, ...signed(total, currency), element('Dt', element('Dt', date)));
}

function entry({ instruction: { order, bankReference }, word, amount }: Booking, date: string): Xml {
  const isReturn = amount > 0n;
  const reference = `${bankReference}-${word.sequence}`;
  const family = element('Fmly', element('Cd', 'ICDT'), element('SubFmlyCd', isReturn ? 'RRTN' : 'ESCT'));
  const details = element(
    'TxDtls',
    element('Refs', element('AcctSvcrRef', reference), element('EndToEndId', order.reference)),
    ...signed(amount, order.currency),
    element('RltdPties', element('CdtrAcct', element('Id', element('Othr', element('Id', order.destination))))),
    element('RmtInf', element('Ustrd', order.key)),
    // AC04: the account is closed.
    ...(isReturn ? [element('RtrInf', element('Rsn', element('Cd', 'AC04')))] : []),
  );
  return element(
    'Ntry',
    element('NtryRef', reference),
    ...signed(amount, order.currency),
    element('RvslInd', String(isReturn)),
    element('Sts', element('Cd', 'BOOK')),
    element('BookgDt', element('Dt', date)),
    element('ValDt', element('Dt', date)),
    element('AcctSvcrRef', reference),
    element('BkTxCd', element('Domn', element('Cd', 'PMNT'), family)),
    element('NtryDtls', details),
  );
}

/** An amount is never below zero; beside it stands which way it goes. */
function signed(amount: bigint, currency: string): [Xml, Xml] {
  const [size, way] = amount < 0n ? [-amount, 'DBIT'] : [amount, 'CRDT'];
  return [element('Amt', { Ccy: currency }, decimalOf(size, currency)), element('CdtDbtInd', way)];
}

/** In major units, exactly. */
function decimalOf(minor: bigint, currency: string): string {
  const digits = currencyExponent(currency);
  const text = String(minor).padStart(digits + 1, '0');
  return digits === 0 ? text : `${text.slice(0, -digits)}.${text.slice(-digits)}`;
}

const timeOf = (ms: number): string => new Date(ms).toISOString();
