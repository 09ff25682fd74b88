import { int8Array } from '#platform/binary-array.js';
import type { Deadline } from '#platform/deadline.js';
import { behindLock } from '../matching/behind-lock.js';
import { idsFor, type MatchedReport, type Matching, valuesOf } from '../matching/match-report.js';
import { IS_OF_ROW, NAME_OF_BREAK } from '../matching/sides.js';
import { statementsOf } from '../matching/statements.js';
import { byKeys } from '../matching/turn.js';

/** Breaks that one look holds against the ledger again. */
const BREAKS_MAX = 100_000;

const IS_OPEN = `merchant_id = $1 AND row_source = $2 AND ${IS_OF_ROW}`;

/**
 * $1 merchant, $2 source, $3 and $4 the name and the id of the last that was looked at, $5 so many, $6 a report or null: of all, $7 an id:
 * of breaks that were there before. Open breaks of
 * rows, whole names at a time: what becomes of a row depends on those beside it, of whichever report. One name that has more than there is
 * room for is cut. `id + 0`: a range of ids is no way to them.
 */
const OPEN = `
WITH ahead AS MATERIALIZED (
  SELECT ${NAME_OF_BREAK} AS name, id FROM breaks
   WHERE ${IS_OPEN} AND (${NAME_OF_BREAK}, id) > ($3, $4::bigint) AND id + 0 < $7::bigint
     AND ($6::bigint IS NULL OR reconciliation_id = $6::bigint)
   ORDER BY ${NAME_OF_BREAK}, id LIMIT $5::int + 1
), ends AS MATERIALIZED (
  SELECT count(*) > $5::int AS is_cut, min(name) AS first, max(name) AS last FROM ahead
), page AS MATERIALIZED (
  SELECT a.* FROM ahead a CROSS JOIN ends e WHERE NOT e.is_cut OR a.name < e.last OR e.first = e.last ORDER BY a.name, a.id LIMIT $5::int
), beside AS MATERIALIZED (
  SELECT id FROM breaks
   WHERE ${IS_OPEN} AND ${NAME_OF_BREAK} = ANY (ARRAY(SELECT name FROM page WHERE name <> '')) AND $6::bigint IS NOT NULL
     AND reconciliation_id <> $6::bigint ORDER BY id LIMIT $5::int
)
SELECT ARRAY(SELECT id FROM page UNION ALL SELECT id FROM beside) AS ids, (SELECT max(name) FROM page) AS name,
       (SELECT id FROM page ORDER BY name DESC, id DESC LIMIT 1) AS last`;

interface Page {
  readonly ids: bigint[];
  readonly name: string | null;
  readonly last: bigint | null;
}

/**
 * Rows of the report’s source that have an open break, of all its reports or of this one: perhaps something else is true of them by now, as
 * the ledger has learnt more. Nobody waits where nothing has changed. Tells the reports of which breaks have ended.
 */
export async function lookAtOpenRows(
  matching: Matching,
  report: MatchedReport,
  deadline: () => Deadline,
  of: 'source' | 'report' = 'source',
): Promise<Set<bigint>> {
  const changed = new Set<bigint>();
  // What follows a break that ends here is not looked at once more.
  const before = matching.ids.next();
  let [name, last] = ['', 0n];
  for (let looked = 0; looked < BREAKS_MAX; ) {
    const page = await openAfter(matching, report, { name, last, of, before }, deadline());
    if (page.name === null || page.last === null) break;
    looked += page.ids.length;
    [name, last] = [page.name, page.last];
    const reports = await changedOf(matching, report, page.ids, deadline());
    // All of them again: what becomes of a row depends on those beside it.
    if (reports.length > 0) await end(matching, report, page.ids, deadline());
    for (const id of reports) changed.add(id);
  }
  return changed;
}

async function openAfter(
  { database, breaksAtOnce }: Matching,
  { merchantId, source, id }: MatchedReport,
  after: { name: string; last: bigint; of: 'source' | 'report'; before: bigint },
  deadline: Deadline,
): Promise<Page> {
  const values = [
    merchantId,
    source,
    after.name,
    after.last,
    breaksAtOnce,
    after.of === 'report' ? id : null,
    after.before,
  ];
  const query = { text: OPEN, values };
  const [page] = await database.read<Page & Record<string, unknown>>({ merchantIds: [merchantId] }, deadline, query);
  return page ?? { ids: [], name: null, last: null };
}

/** Reports of which breaks would end. */
async function changedOf(
  matching: Matching,
  report: MatchedReport,
  breakIds: readonly bigint[],
  deadline: Deadline,
): Promise<bigint[]> {
  const text = statementsOf(report.source).look;
  const values = valuesOf(matching, report, int8Array(breakIds), null);
  const { reports } = await matching.database.transaction({ merchantIds: [report.merchantId] }, deadline, (client) =>
    byKeys<{ reports: bigint[] }>(client, { text, values }),
  );
  return reports;
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
