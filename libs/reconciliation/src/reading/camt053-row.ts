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

/** A transaction of a booked entry. */
export interface Transaction {
  readonly account: string;
  readonly entry: Values;
  readonly own: Values;
  /** Which one of the entry it is, from 0. */
  readonly index: number;
  readonly move: Move;
}

/** Return of a credit transfer; reversal because it was called back. */
const RETURNS = new Set(['RRTN', 'RPCR']);
/** What stands for an EndToEndId that nobody gave. */
const NOT_PROVIDED = 'NOTPROVIDED';
const REMITTANCE_CHARACTERS = 255;
const digitsOf = majorUnits();

/** An amount is never below zero; beside it stands which way it goes. */
export function moveOf(amount = '', currency = '', way = ''): Move {
  const digits = digitsOf(currency);
  if (amount.startsWith('-')) throw new BadValue(`Amt: ${quoted(amount)} has a sign beside CdtDbtInd`);
  const size = amountOf(amount, digits);
  if (way !== 'CRDT' && way !== 'DBIT') throw new BadValue(`CdtDbtInd: ${quoted(way)} is neither CRDT nor DBIT`);
  return { amount: way === 'DBIT' ? -size : size, currency: digits.currency };
}

/** What a transaction of an entry says that it moves; undefined: nothing, as it need not where it is the only one. */
export function ownMove(own: Values, entry: Values): Move | undefined {
  const place = own.Amt === undefined ? 'AmtDtls/TxAmt/Amt' : 'Amt';
  if (own[place] === undefined) return undefined;
  return moveOf(own[place], own[`${place}@Ccy`], own.CdtDbtInd ?? entry.CdtDbtInd);
}

/** Pending entries, and those for information, have moved nothing. */
export function isBooked(entry: Values): boolean {
  return (entry['Sts/Cd'] || entry.Sts) === 'BOOK';
}

/** `alike`: of those that the bank gives no reference of its own the how manieth of all that say the same. */
export function camtRow(transaction: Transaction, line: number, alike: (identity: string) => number): ReportRow {
  const { move, own } = transaction;
  const isPayout = isReturned(transaction) === move.amount > 0n;
  return {
    line,
    identity: camtIdentity(transaction, alike),
    type: isPayout ? 'payout' : 'other',
    reference: referenceOf(own) ?? banksNameOf(transaction),
    objectRef: undefined,
    gross: move.amount,
    fee: 0n,
    net: move.amount,
    currency: move.currency,
    occurredAtMs: momentOf(dayOf(transaction), 'UTC'),
    batch: isPayout ? undefined : remittanceOf(own),
  };
}

function camtIdentity(transaction: Transaction, alike: (identity: string) => number): string {
  const { account, entry, own, index, move } = transaction;
  const way = move.amount < 0n ? 'DBIT' : 'CRDT';
  const [ofOwn, ofEntry] = [own['Refs/AcctSvcrRef'] ?? '', entry.AcctSvcrRef ?? ''];
  if (ofOwn !== '' && ofOwn !== ofEntry) return identityOf([account, ofOwn, way]);
  if (ofEntry !== '') return identityOf([account, ofEntry, way, String(index)]);
  const said = [account, referenceOf(own) ?? '', String(move.amount), way, dayOf(transaction)];
  return identityOf([...said, String(alike(identityOf(said)))]);
}

function dayOf({ entry }: Transaction): string {
  const day = entry['BookgDt/DtTm'] ?? entry['BookgDt/Dt'] ?? entry['ValDt/DtTm'] ?? entry['ValDt/Dt'];
  if (day === undefined) throw new BadValue('has neither BookgDt nor ValDt');
  return day;
}

function referenceOf(own: Values): string | undefined {
  const text = textOf(own['Refs/EndToEndId'] ?? '', 'EndToEndId');
  return text === '' || text === NOT_PROVIDED ? undefined : text;
}

/** What people find it by at the bank. */
function banksNameOf({ account, entry, own }: Transaction): string | undefined {
  const reference = own['Refs/AcctSvcrRef'] || entry.AcctSvcrRef;
  return reference ? textOf(`${account}/${reference}`, 'AcctSvcrRef') : undefined;
}

function isReturned({ entry, own }: Transaction): boolean {
  const code = own['BkTxCd/Domn/Fmly/SubFmlyCd'] ?? entry['BkTxCd/Domn/Fmly/SubFmlyCd'] ?? '';
  const isReversal = entry.RvslInd === 'true' || entry.RvslInd === '1';
  return isReversal || RETURNS.has(code) || own['RtrInf/Rsn/Cd'] !== undefined;
}

function remittanceOf(own: Values): string | undefined {
  const text = [own['RmtInf/Ustrd'], own['RmtInf/Strd/CdtrRefInf/Ref']].filter(Boolean).join(' ');
  return textOf(text.slice(0, REMITTANCE_CHARACTERS), 'RmtInf') || undefined;
}
