import type { SnowflakeGenerator } from '#kernel/snowflake.js';
import { MerchantLog } from '#outbox/log/append.js';
import { int8Array } from '#platform/binary-array.js';
import type { Deadline } from '#platform/deadline.js';
import { PLAN_BY_KEYS } from '#platform/plan-by-keys.js';
import { allSettledThenThrow, type Database, type TransactionClient } from '#platform/postgres.js';
import type { MatchingRules } from './rules.js';
import { type Statement, statementsOf } from './statements.js';
import { type ToldBreaks, tellBreaks } from './tell-breaks.js';
import { TAKE_TURN } from './turn.js';

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

interface Told extends ToldBreaks, Record<string, unknown> {
  rows: number;
  /** JSON: lists of lines. */
  units: string | null;
}

/** Breaks that a row may open: its own, and those of the date and the fee of its match. */
const BREAKS_OF_A_ROW = 3;

/**
 * The next chunk of a report. Rows that are matched without more are, in a transaction for which no posting waits; whatever opens or ends
 * a break is then decided anew behind the merchant's lock, a few at a time. Who is killed in between leaves the latter staged. Returns how
 * many rows were there; none: nothing is staged any more.
 */
export async function matchNext(matching: Matching, report: MatchedReport, deadline: () => Deadline): Promise<number> {
  const { chunkRows, breaksAtOnce, database } = matching;
  const scope = { merchantIds: [report.merchantId] };
  const { rows, units } = await database.transaction(scope, deadline(), (client) =>
    run(client, matching, report, statementsOf(report.source).next, chunkRows, null),
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
) {
  const ids = lines.flatMap(() => Array.from({ length: BREAKS_OF_A_ROW }, () => matching.ids.next()));
  await matching.database.transaction({ merchantIds: [report.merchantId] }, deadline, async (client) => {
    const log = await MerchantLog.lock(client, report.merchantId);
    const told = await run(
      client,
      matching,
      report,
      statementsOf(report.source).lines,
      int8Array(lines.map(BigInt)),
      int8Array(ids),
    );
    await tellBreaks(log, told, report.traceContext, Date.now());
  });
}

async function run(
  client: TransactionClient,
  matching: Matching,
  report: MatchedReport,
  statement: Statement,
  which: number | Buffer,
  ids: Buffer | null,
): Promise<Told> {
  const [, , result] = await allSettledThenThrow([
    client.query<Told>({ ...TAKE_TURN, values: [report.merchantId] }),
    client.query<Told>({ text: PLAN_BY_KEYS }),
    client.query<Told>({ ...statement, values: valuesOf(matching, report, which, ids) }),
  ]);
  const told = result?.rows[0];
  if (!told) throw new Error('a chunk tells what became of it');
  return told;
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
