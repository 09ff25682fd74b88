import { asMsOrEver } from '#platform/columns.js';
import type { TransactionClient } from '#platform/postgres.js';

/**
 * Up to when days are settled, or drafted to be: what was charged for them stays. Whoever begins to settle takes FOR KEY SHARE on the
 * merchant's row and FOR SHARE on those of its plans. Who changes what counts has locked the one or the other FOR UPDATE in a
 * statement before: only a later one sees what was committed while it waited.
 */
const ENDS = `
SELECT merchant_id, ended_at AS at FROM settlement_positions UNION ALL SELECT merchant_id, ends_at FROM settlement_drafts`;

/** $1 merchant. */
const OF_MERCHANT = `SELECT max(at) AS at FROM (${ENDS}) ended WHERE merchant_id = $1`;

/** $1 plan, $2 from when on. The end of the last day in which the plan counts for somebody from then on. */
const BY_PLAN = `
SELECT max(at) AS at
  FROM (SELECT merchant_id, fee_plan_id, valid_from,
               lead(valid_from, 1, 'infinity') OVER (PARTITION BY merchant_id ORDER BY valid_from) AS valid_until
          FROM fee_plan_assignments) assigned
  JOIN (${ENDS}) ended USING (merchant_id)
 WHERE fee_plan_id = $1 AND greatest(valid_from, $2::timestamptz) < least(valid_until, at)`;

interface Row extends Record<string, unknown> {
  at: number | null;
}

/** Milliseconds since 1970; -Infinity: nothing is. */
export async function settledUntil(client: TransactionClient, merchantId: bigint): Promise<number> {
  const { rows } = await client.query<Row>({ text: OF_MERCHANT, values: [merchantId] });
  return rows[0]?.at ?? -Infinity;
}

/** The same of all merchants for whom the plan counts from that time on. Needs the platform's scope. */
export async function settledByPlan(client: TransactionClient, planId: bigint, fromMs: number): Promise<number> {
  const { rows } = await client.query<Row>({ text: BY_PLAN, values: [planId, asMsOrEver.to(fromMs)] });
  return rows[0]?.at ?? -Infinity;
}
