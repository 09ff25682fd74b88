import { int8Array } from '#platform/binary-array.js';
import type { Deadline } from '#platform/deadline.js';
import { behindLock } from '../matching/behind-lock.js';
import { idsFor, type MatchedReport, type Matching, valuesOf } from '../matching/match-report.js';
import { IS_OF_ROW, NAME_OF_BREAK } from '../matching/sides.js';
import { statementsOf } from '../matching/statements.js';
import { byKeys } from '../matching/turn.js';

/** Breaks that one look holds against the ledger again. */
const BREAKS_MAX = 100_000;

/**
 * $1 merchant, $2 source, $3 and $4 the name and the id of the last that was looked at, $5 so many. Open breaks of rows, whole names at a time:
 * what becomes of a row depends on those beside it. One name that has more than there is room for is cut.
 */
const OPEN = `
WITH ahead AS MATERIALIZED (
  SELECT ${NAME_OF_BREAK} AS name, id FROM breaks
   WHERE merchant_id = $1 AND row_source = $2 AND ${IS_OF_ROW} AND (${NAME_OF_BREAK}, id) > ($3, $4::bigint)
   ORDER BY ${NAME_OF_BREAK}, id LIMIT $5::int + 1
), ends AS MATERIALIZED (
  SELECT count(*) > $5::int AS is_cut, min(name) AS first, max(name) AS last FROM ahead
), page AS MATERIALIZED (
  SELECT a.* FROM ahead a CROSS JOIN ends e WHERE NOT e.is_cut OR a.name < e.last OR e.first = e.last ORDER BY a.name, a.id LIMIT $5::int
)
SELECT ARRAY(SELECT id FROM page ORDER BY name, id) AS ids, (SELECT max(name) FROM page) AS name`;

interface Page {
  readonly ids: bigint[];
  readonly name: string | null;
}

/**
 * Rows of the report’s source that have an open break: perhaps something else is true of them by now, as the ledger has learnt more. Nobody
 * waits where nothing has changed.
 */
export async function lookAtOpenRows(
  matching: Matching,
  report: MatchedReport,
  deadline: () => Deadline,
): Promise<void> {
  let [name, last] = ['', 0n];
  for (let looked = 0; looked < BREAKS_MAX; ) {
    const page = await openAfter(matching, report, { name, last }, deadline());
    if (page.ids.length === 0) return;
    looked += page.ids.length;
    [name, last] = [page.name ?? '', page.ids.at(-1) as bigint];
    const changed = await changedOf(matching, report, page.ids, deadline());
    // All of them again: what becomes of a row depends on those beside it.
    if (changed.length > 0) await end(matching, report, page.ids, deadline());
  }
}

async function openAfter(
  { database, breaksAtOnce }: Matching,
  { merchantId, source }: MatchedReport,
  after: { name: string; last: bigint },
  deadline: Deadline,
): Promise<Page> {
  const values = [merchantId, source, after.name, after.last, breaksAtOnce];
  const query = { text: OPEN, values };
  const [page] = await database.read<Page & Record<string, unknown>>({ merchantIds: [merchantId] }, deadline, query);
  return page ?? { ids: [], name: null };
}

async function changedOf(
  matching: Matching,
  report: MatchedReport,
  breakIds: readonly bigint[],
  deadline: Deadline,
): Promise<bigint[]> {
  const text = statementsOf(report.source).look;
  const values = valuesOf(matching, report, int8Array(breakIds), null);
  const { ids } = await matching.database.transaction({ merchantIds: [report.merchantId] }, deadline, (client) =>
    byKeys<{ ids: bigint[] }>(client, { text, values }),
  );
  return ids;
}

async function end(
  matching: Matching,
  report: MatchedReport,
  breakIds: readonly bigint[],
  deadline: Deadline,
): Promise<void> {
  const text = statementsOf(report.source).end;
  const values = valuesOf(matching, report, int8Array(breakIds), idsFor(matching, breakIds.length));
  await behindLock(matching.database, report, { text, values }, deadline);
}
