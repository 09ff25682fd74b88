import { int8Array } from '#platform/binary-array.js';
import type { Deadline } from '#platform/deadline.js';
import { behindLock } from '../matching/behind-lock.js';
import { type MatchedReport, type Matching, valuesOf } from '../matching/match-report.js';
import { statementsOf } from '../matching/statements.js';
import { byKeys } from '../matching/turn.js';

/** Breaks that one look holds against the ledger again: the oldest first. */
const BREAKS_MAX = 100_000;

/** $1 merchant, $2 source, $3 the last that was looked at, $4 so many. Rows that were nowhere in the ledger. */
const OPEN = `
SELECT id FROM breaks
 WHERE merchant_id = $1 AND resolution IS NULL AND kind = 'missing_in_ledger' AND row_source = $2 AND id > $3 ORDER BY id LIMIT $4`;

/**
 * Rows of the report’s source that were nowhere in the ledger: perhaps they are by now. Nobody waits where nothing has turned up. What has is
 * decided anew with the rows beside it, as it was found.
 */
export async function lookAtMissingRows(
  matching: Matching,
  report: MatchedReport,
  deadline: () => Deadline,
): Promise<void> {
  const { breaksAtOnce } = matching;
  let last = 0n;
  for (let looked = 0; looked < BREAKS_MAX; looked += breaksAtOnce) {
    const ids = await openAfter(matching, report, last, deadline());
    if (ids.length === 0) return;
    last = ids.at(-1) as bigint;
    const turnedUp = await turnedUpOf(matching, report, ids, deadline());
    // All of them again: what becomes of a row depends on those beside it.
    if (turnedUp.length > 0) await end(matching, report, ids, deadline());
  }
}

async function openAfter(
  { database, breaksAtOnce }: Matching,
  { merchantId, source }: MatchedReport,
  last: bigint,
  deadline: Deadline,
): Promise<bigint[]> {
  const values = [merchantId, source, last, breaksAtOnce];
  const rows = await database.read<{ id: bigint }>({ merchantIds: [merchantId] }, deadline, { text: OPEN, values });
  return rows.map(({ id }) => id);
}

async function turnedUpOf(
  matching: Matching,
  report: MatchedReport,
  breakIds: readonly bigint[],
  deadline: Deadline,
): Promise<bigint[]> {
  const statement = {
    text: statementsOf(report.source).look,
    values: valuesOf(matching, report, int8Array(breakIds), null),
  };
  const { ids } = await matching.database.transaction({ merchantIds: [report.merchantId] }, deadline, (client) =>
    byKeys<{ ids: bigint[] }>(client, statement),
  );
  return ids;
}

async function end(
  matching: Matching,
  report: MatchedReport,
  breakIds: readonly bigint[],
  deadline: Deadline,
): Promise<void> {
  // A match may be of another date, or fee.
  const ids = int8Array(breakIds.flatMap(() => [matching.ids.next(), matching.ids.next()]));
  const values = valuesOf(matching, report, int8Array(breakIds), ids);
  await behindLock(matching.database, report, { text: statementsOf(report.source).end, values }, deadline);
}
