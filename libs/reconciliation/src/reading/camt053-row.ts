import type { ReportRow } from '../report-row.js';
import { amountOf, majorUnits } from './amount.js';
import { BadValue, quoted } from './bad-value.js';
import { identityOf } from './identity.js';
import { momentOf } from './moment.js';
import { textOf } from './text.js';
import type { Values } from './xml-records.js';

/** Money that moves on the account: what leaves it is below zero. */
export interface Move {
  readonly amount: bigint;
  readonly currency: string;
}

/** Of several transactions in one entry each has to say its own amount. */
interface Of {
  readonly account: string;
  readonly entry: Values;
  /** Which transaction of the entry it is, from 0. */
  readonly index: number;
  readonly move: Move;
}

/** Return of a credit transfer; reversal because it was called back. */
const RETURNS = new Set(['RRTN', 'RPCR']);
const NOT_TOLD = 'NOTPROVIDED';
const REMITTANCE_CHARACTERS = 255;
const digitsOf = majorUnits();

/** `text` and `currency` of an amount, which is never below zero: beside it stands which way it goes. */
export function moveOf(text: string | undefined, currency: string | undefined, way: string | undefined): Move {
  const digits = digitsOf(currency ?? '');
  if (text?.startsWith('-')) throw new BadValue(`Amt: ${quoted(text)} has a sign beside CdtDbtInd`);
  const amount = amountOf(text ?? '', digits);
  if (way !== 'CRDT' && way !== 'DBIT') throw new BadValue(`CdtDbtInd: ${quoted(way ?? '')} is neither CRDT nor DBIT`);
  return { amount: way === 'DBIT' ? -amount : amount, currency: digits.currency };
}

/** What a transaction of an entry moves; undefined: it does not say, as it need not where it is the only one. */
export function ownMove(transaction: Values, entry: Values): Move | undefined {
  const place = transaction.Amt === undefined ? 'AmtDtls/TxAmt/Amt' : 'Amt';
  if (transaction[place] === undefined) return undefined;
  return moveOf(transaction[place], transaction[`${place}@Ccy`], transaction.CdtDbtInd ?? entry.CdtDbtInd);
}

/** Pending entries, and those for information, have moved nothing. */
export function isBooked(entry: Values): boolean {
  return (entry['Sts/Cd'] || entry.Sts) === 'BOOK';
}

/** A transaction of an entry as a row. `alike`: counts what the bank gives no reference of its own, by what else it says. */
export function camtRow(
  transaction: Values,
  { account, entry, index, move }: Of,
  line: number,
  alike: (identity: string) => number,
): ReportRow {
  const { amount, currency } = move;
  const day = entry['BookgDt/DtTm'] ?? entry['BookgDt/Dt'] ?? entry['ValDt/DtTm'] ?? entry['ValDt/Dt'];
  if (day === undefined) throw new BadValue('has neither BookgDt nor ValDt');
  const endToEnd = textOf(transaction['Refs/EndToEndId'] ?? '', 'EndToEndId');
  const reference = endToEnd === NOT_TOLD || endToEnd === '' ? undefined : endToEnd;
  const isReturn = isReturned(transaction, entry);
  const isPayout = isReturn === amount > 0n;
  const own = textOf(transaction['Refs/AcctSvcrRef'] ?? '', 'AcctSvcrRef');
  const entrys = textOf(entry.AcctSvcrRef ?? '', 'AcctSvcrRef');
  const way = amount < 0n ? 'DBIT' : 'CRDT';
  const parts = [account, ...(own || entrys ? [own || entrys, way, own ? '' : String(index)] : [endToEnd, String(amount), way, day])];
  const identity = own || entrys ? identityOf(parts) : identityOf([...parts, String(alike(identityOf(parts)))]);
  return {
    line,
    identity,
    type: isPayout ? 'payout' : 'other',
    reference,
    objectRef: undefined,
    gross: amount,
    fee: 0n,
    net: amount,
    currency,
    occurredAtMs: momentOf(day, 'UTC'),
    batch: isPayout ? undefined : remittanceOf(transaction),
  };
}

function isReturned(transaction: Values, entry: Values): boolean {
  const code = transaction['BkTxCd/Domn/Fmly/SubFmlyCd'] ?? entry['BkTxCd/Domn/Fmly/SubFmlyCd'] ?? '';
  const isReversal = entry.RvslInd === 'true' || entry.RvslInd === '1';
  return isReversal || RETURNS.has(code) || transaction['RtrInf/Rsn/Cd'] !== undefined;
}

function remittanceOf(transaction: Values): string | undefined {
  const text = [transaction['RmtInf/Ustrd'], transaction['RmtInf/Strd/CdtrRefInf/Ref']].filter(Boolean).join(' ');
  return textOf(text.slice(0, REMITTANCE_CHARACTERS), 'RmtInf') || undefined;
}
