import type { SnowflakeGenerator } from '#kernel/snowflake.js';
import { int8Array } from '#platform/binary-array.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import { behindLock } from './behind-lock.js';
import type { MatchingRules } from './rules.js';
import { statementsOf } from './statements.js';
import { inTurn } from './turn.js';

export interface Matching {
  readonly database: Database;
  readonly ids: SnowflakeGenerator;
  readonly rules: MatchingRules;
  /** Rows that are decided by one statement. */
  readonly chunkRows: number;
  /** Rows that are decided behind the merchant's lock, for which postings wait. */
  readonly breaksAtOnce: number;
}

export interface MatchedReport {
  readonly merchantId: bigint;
  readonly id: bigint;
  readonly source: string;
  readonly provider: string | undefined;
  readonly periodFromMs?: number | undefined;
  readonly periodToMs?: number | undefined;
  readonly slaDays: number;
  readonly traceContext?: string | undefined;
}

/** What became of a chunk. */
interface Taken {
  readonly rows: number;
  /** JSON: lists of lines that are to be decided together behind the lock. */
  readonly units: string | null;
}

/** Breaks that a row may open: its own, and those of the date and the fee of its match. */
const BREAKS_OF_A_ROW = 3;

/** Ids of breaks that so many rows may open. */
export function idsFor({ ids }: Matching, rows: number): Buffer {
  return int8Array(Array.from({ length: BREAKS_OF_A_ROW * rows }, () => ids.next()));
}

/**
 * The next chunk of a report. Rows that are matched without more are, in a transaction for which no posting waits; whatever opens or ends
 * a break is then decided anew behind the merchant's lock, a few at a time. Who is killed in between leaves the latter staged. Returns how
 * many rows were there; none: nothing is staged any more.
 */
export async function matchNext(matching: Matching, report: MatchedReport, deadline: () => Deadline): Promise<number> {
  const { chunkRows, breaksAtOnce, database } = matching;
  const statement = { text: statementsOf(report.source).next, values: valuesOf(matching, report, chunkRows, null) };
  const { rows, units } = await database.transaction({ merchantIds: [report.merchantId] }, deadline(), (client) =>
    inTurn<Taken>(client, report.merchantId, statement),
  );
  for (const lines of parcels(JSON.parse(units ?? '[]') as number[][], breaksAtOnce)) {
    await matchBehindLock(matching, report, lines, deadline());
  }
  return rows;
}

/** What belongs together stays together, if it alone is more than `size`. */
function* parcels(units: readonly number[][], size: number): Generator<number[]> {
  let parcel: number[] = [];
  for (const lines of units) {
    if (parcel.length > 0 && parcel.length + lines.length > size) {
      yield parcel;
      parcel = [];
    }
    parcel = parcel.concat(lines);
  }
  if (parcel.length > 0) yield parcel;
}

async function matchBehindLock(
  matching: Matching,
  report: MatchedReport,
  lines: readonly number[],
  deadline: Deadline,
): Promise<void> {
  // Rows beside them have open breaks, and are decided again.
  const ids = idsFor(matching, lines.length + matching.breaksAtOnce);
  const values = valuesOf(matching, report, int8Array(lines.map(BigInt)), ids);
  await behindLock(matching.database, report, { text: statementsOf(report.source).lines, values }, deadline);
}

/** Parameters of the statements of matching: which rows are decided, and ids for the breaks that they open. */
export function valuesOf(
  { rules }: Matching,
  { merchantId, source, provider, id }: MatchedReport,
  which: number | Buffer,
  ids: Buffer | null,
): unknown[] {
  const { feeTolerance, dateToleranceDays, amountTolerance } = rules;
  return [merchantId, source, provider ?? null, feeTolerance, dateToleranceDays, amountTolerance, id, which, ids];
}
