import type { Life } from '../life.js';
import type { Random } from '../random.js';
import { ADYEN } from './adyen.js';
import { batchesOf } from './batches.js';
import { csvLine } from './csv.js';
import { isIn, type ReportFault, rowsOf, targetsIn } from './faults.js';
import type { Format } from './format.js';
import { GENERIC } from './generic.js';
import { happenedIn } from './happened.js';
import type { Row } from './row.js';
import { STRIPE } from './stripe.js';

/** A processor's reports of what it holds to be true, in the formats of two that there are and in a plain one. */
const FORMATS = {
  generic: GENERIC,
  adyen_settlement_detail: ADYEN,
  stripe_payout_reconciliation: STRIPE,
} as const satisfies Record<string, Format>;

export type ReportFormat = keyof typeof FORMATS;
export const REPORT_FORMATS = Object.keys(FORMATS) as [ReportFormat, ...ReportFormat[]];

export interface ReportOptions {
  readonly format: ReportFormat;
  /** Days (UTC), as YYYY-MM-DD; `to` is the first one that is not in it. A batch is there as a whole. */
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  /** This batch alone. */
  readonly batch?: string | undefined;
  readonly faults?: readonly ReportFault[] | undefined;
}

/** Which row is wrong: its payment, and what of it; of a batch that is wrong its name. */
export interface Planted {
  readonly fault: ReportFault;
  readonly reference: string;
  readonly object_ref: string;
  readonly batch: string;
}

export interface Report {
  readonly lines: Iterable<string>;
  /** Those that were asked for and found a row to befall. */
  readonly planted: Planted[];
}

const DAY_MS = 86_400_000;

/** The same lives and the same seed give the same report. */
export function reportOf(lives: Iterable<Life>, options: ReportOptions, random: Random): Report {
  const { format, from = '', to, batch: only, faults = [] } = options;
  const { columns, cells, batchName }: Format = FORMATS[format];
  const told = Array.from(lives, happenedIn);
  const batches = batchesOf(
    told.flatMap(({ rows }) => rows),
    batchName,
  ).filter(({ name, endMs }) => {
    const day = new Date(endMs - DAY_MS).toISOString().slice(0, 10);
    return day >= from && (to === undefined || day < to) && (only === undefined || name === only);
  });
  const all = targetsIn(batches, told, random);
  const targets = new Map([...all].filter(([fault]) => faults.includes(fault)));
  const rows = rowsOf(batches, targets);
  // Another fault may have left a batch with nothing to pay out.
  const planted = [...targets].filter(([fault, target]) => fault !== 'batch' || isIn(rows, target));
  return { lines: linesOf(columns, cells, rows), planted: planted.map(plantedAs) };
}

function* linesOf(columns: readonly string[], cells: Format['cells'], rows: readonly Row[]): Generator<string> {
  yield csvLine(columns);
  for (const row of rows) {
    const named = cells(row);
    yield csvLine(columns.map((column) => named[column] ?? ''));
  }
}

const plantedAs = ([fault, { reference, objectRef, batch }]: [ReportFault, Row]): Planted => ({
  fault,
  reference,
  object_ref: objectRef,
  batch,
});
