import { MerchantLog } from '#outbox/log/append.js';
import { int8Array } from '#platform/binary-array.js';
import type { Deadline } from '#platform/deadline.js';
import { PLAN_BY_KEYS } from '#platform/plan-by-keys.js';
import type { TransactionClient } from '#platform/postgres.js';
import { type MatchedReport, type Matching, valuesOf } from '../matching/match-report.js';
import { type Statement, statementsOf } from '../matching/statements.js';
import { type ToldBreaks, tellBreaks } from '../matching/tell-breaks.js';
import { TAKE_TURN } from '../matching/turn.js';

/** Breaks that one look holds against the ledger again: the oldest first. */
const BREAKS_MAX = 100_000;

/** $1 merchant, $2 source, $3 the last that was looked at, $4 so many. Rows that were nowhere in the ledger. */
const OPEN = `
SELECT id FROM breaks
 WHERE merchant_id = $1 AND resolution IS NULL AND kind = 'missing_in_ledger' AND row_source = $2 AND id > $3 ORDER BY id LIMIT $4`;

/** Rows of the report's source that were nowhere in the ledger: perhaps they are by now. Nobody waits where nothing has turned up. */
export async function lookAtMissingRows(
  matching: Matching,
  report: MatchedReport,
  deadline: () => Deadline,
): Promise<void> {
  const { merchantId, source } = report;
  const { breaksAtOnce, database } = matching;
  const scope = { merchantIds: [merchantId] };
  let last = 0n;
  for (let looked = 0; looked < BREAKS_MAX; looked += breaksAtOnce) {
    const rows = await database.read<{ id: bigint }>(scope, deadline(), {
      text: OPEN,
      values: [merchantId, source, last, breaksAtOnce],
    });
    const ids = rows.map(({ id }) => id);
    if (ids.length === 0) return;
    last = ids.at(-1) as bigint;
    const turnedUp = await database.transaction(scope, deadline(), (client) =>
      turnedUpOf(client, matching, report, ids),
    );
    if (turnedUp.length > 0) await end(matching, report, turnedUp, deadline());
  }
}

async function turnedUpOf(
  client: TransactionClient,
  matching: Matching,
  report: MatchedReport,
  ids: bigint[],
): Promise<bigint[]> {
  const { rows } = await ask<{ ids: bigint[] }>(client, matching, report, statementsOf(report.source).look, ids, null);
  return rows[0]?.ids ?? [];
}

async function end(matching: Matching, report: MatchedReport, breakIds: bigint[], deadline: Deadline): Promise<void> {
  const { merchantId, source, traceContext } = report;
  // A match may be of another date, or fee.
  const ids = int8Array(breakIds.flatMap(() => [matching.ids.next(), matching.ids.next()]));
  await matching.database.transaction({ merchantIds: [merchantId] }, deadline, async (client) => {
    const log = await MerchantLog.lock(client, merchantId);
    await client.query({ ...TAKE_TURN, values: [merchantId] });
    const { rows } = await ask<ToldBreaks & Record<string, unknown>>(
      client,
      matching,
      report,
      statementsOf(source).end,
      breakIds,
      ids,
    );
    await tellBreaks(log, rows[0] as ToldBreaks, traceContext, Date.now());
  });
}

async function ask<Row extends Record<string, unknown>>(
  client: TransactionClient,
  matching: Matching,
  report: MatchedReport,
  statement: Statement,
  breakIds: bigint[],
  ids: Buffer | null,
) {
  await client.query({ text: PLAN_BY_KEYS });
  return client.query<Row>({ ...statement, values: valuesOf(matching, report, int8Array(breakIds), ids) });
}
