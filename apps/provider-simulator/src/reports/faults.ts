import { shuffled } from '../arrivals.js';
import type { Random } from '../random.js';
import { type Batch, endingOf } from './batches.js';
import type { Told } from './happened.js';
import type { Row } from './row.js';

/** What is wrong with a report, on demand: each once, about a payment of its own. The rest is told as it is. */
export const REPORT_FAULTS = [
  'missing_row',
  'duplicate',
  'amount',
  'currency',
  'fee',
  'date',
  'status',
  'unknown',
  'batch',
] as const;

export type ReportFault = (typeof REPORT_FAULTS)[number];

/** The row that is wrong: as it is in truth, or as it is made up. */
export type Targets = ReadonlyMap<ReportFault, Row>;

const DAY_MS = 86_400_000;

/** Rows that are told although there is nothing to tell. */
const MADE_UP: readonly ReportFault[] = ['status', 'unknown'];

type Changes = Partial<Record<ReportFault, (row: Row) => Row[]>>;

/** What becomes of a row before its batch is added up. */
const BEFORE: Changes = {
  missing_row: () => [],
  amount: (row) => [{ ...row, gross: row.gross + 7n }],
  currency: (row) => [{ ...row, currency: row.currency === 'USD' ? 'EUR' : 'USD' }],
  fee: (row) => [{ ...row, fee: row.fee + 3n }],
  date: (row) => [{ ...row, atMs: row.atMs - 10 * DAY_MS }],
};

/** And afterwards: the same row once more, and one unit less paid out than the batch comes to. */
const AFTER: Changes = {
  duplicate: (row) => [row, row],
  batch: (row) => [{ ...row, gross: row.gross + 1n }],
};

/** Where each fault goes does not depend on which others are asked for. One that has nowhere to go is not planted. */
export function targetsIn(batches: readonly Batch[], told: readonly Told[], random: Random): Map<ReportFault, Row> {
  const rows = batches.flatMap((batch) => batch.rows);
  const byPayment = Map.groupBy(rows, ({ reference }) => reference);
  const alone = rows.filter((row) => row.type === 'payment' && byPayment.get(row.reference)?.length === 1);
  const known = new Set(told.filter(({ toldFee = 0n }) => toldFee > 0n).map((one) => one.rows[0]?.reference));
  const left = shuffled(alone, alone.length, random);
  const fee = left.findIndex(({ reference }) => known.has(reference));
  const targets: [ReportFault, Row | undefined][] = [
    ['fee', fee === -1 ? undefined : left.splice(fee, 1)[0]],
    ...(['missing_row', 'duplicate', 'amount', 'currency', 'date'] as const).map(
      (fault): [ReportFault, Row | undefined] => [fault, left.pop()],
    ),
    ['status', undoneIn(batches, told, random)],
    ['unknown', madeUp(batches)],
    ['batch', batches.flatMap(endingOf).findLast(({ type }) => type === 'payout')],
  ];
  return new Map(targets.flatMap(([fault, row]) => (row ? [[fault, row] as const] : [])));
}

function undoneIn(batches: readonly Batch[], told: readonly Told[], random: Random): Row | undefined {
  const undone = told.flatMap((one) => one.undone);
  const rows = batches.flatMap(({ name: batch, endMs }) =>
    undone.filter(({ atMs }) => atMs < endMs && atMs >= endMs - DAY_MS).map((row): Row => ({ ...row, batch })),
  );
  return rows.length === 0 ? undefined : random.pick(rows);
}

function madeUp(batches: readonly Batch[]): Row | undefined {
  const row = batches[0]?.rows.find(({ type }) => type === 'payment');
  return row && { ...row, reference: `nobody-${row.batch}`, objectRef: `nobody-${row.batch}-cap1` };
}

/** All rows of these batches, with what ends each. */
export function rowsOf(batches: readonly Batch[], targets: Targets): Row[] {
  return batches.flatMap((batch) => {
    const made = MADE_UP.flatMap((fault) => targets.get(fault) ?? []).filter((row) => row.batch === batch.name);
    const rows = [...batch.rows, ...made].flatMap((row) => changed(row, targets, BEFORE));
    return [...batch.carried, ...rows, ...endingOf({ ...batch, rows })].flatMap((row) => changed(row, targets, AFTER));
  });
}

function changed(row: Row, targets: Targets, changes: Changes): Row[] {
  for (const [fault, target] of targets) {
    const change = changes[fault];
    if (change && isSame(target, row)) return change(row);
  }
  return [row];
}

export const isIn = (rows: readonly Row[], target: Row): boolean => rows.some((row) => isSame(target, row));

/** Payouts are added up anew: theirs is the one of the batch and currency. */
function isSame(target: Row, row: Row): boolean {
  if (target.type !== 'payout') return target === row;
  return row.type === 'payout' && row.batch === target.batch && row.currency === target.currency;
}
