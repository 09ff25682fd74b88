import type { SnowflakeGenerator } from '#kernel/snowflake.js';
import { LOCK_MERCHANTS } from '#outbox/log/append.js';
import { int8Array, textArray, timestamptzArray } from '#platform/binary-array.js';
import type { Deadline } from '#platform/deadline.js';
import { allSettledThenThrow, type Database } from '#platform/postgres.js';
import type { Step } from './next-step.js';

/** Plans that are to be assigned wait, and so does a change of the merchant's key; postings do not. */
const LOCK_ASSIGNMENTS = 'SELECT FROM merchants WHERE id = ANY ($1::bigint[]) ORDER BY id FOR KEY SHARE';

/** Whoever adds a version to one of these plans waits, and then finds the draft. */
const LOCK_PLANS = `
SELECT FROM fee_plans WHERE id = ANY (ARRAY(SELECT fee_plan_id FROM fee_plan_assignments WHERE merchant_id = ANY ($1::bigint[])))
 ORDER BY id FOR SHARE`;

/**
 * $1 merchants, $2 the day before which each is settled, $3 its day, $4 $5 from and until, $6 currencies, $7 accounts, $8 settlements. A
 * settlement is as of the account's version now. A draft that is there is gone on with, and no day is begun beside another one.
 */
const BEGIN = `
INSERT INTO settlement_drafts (merchant_id, currency, settlement_id, account_id, business_date, starts_at, ends_at, drafted_through,
                               looked_through, seen_through)
SELECT k.merchant_id, k.currency, k.settlement_id, k.account_id, k.day, k.starts_at, k.ends_at, coalesce(s.taken_through, 0),
       b.version, coalesce(s.looked_through, 0)
  FROM unnest($1::bigint[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::text[], $7::bigint[], $8::bigint[])
         AS t (merchant_id, after, day, starts_at, ends_at, currency, account_id, settlement_id)
  CROSS JOIN LATERAL (SELECT t.merchant_id, t.after::date, t.day::date, t.starts_at, t.ends_at, t.currency, t.account_id, t.settlement_id) k
  JOIN balances b ON b.merchant_id = k.merchant_id AND b.account_id = k.account_id
  LEFT JOIN settled_balances s ON s.merchant_id = k.merchant_id AND s.currency = k.currency
  LEFT JOIN settlement_positions p ON p.merchant_id = k.merchant_id
 WHERE p.business_date IS NOT DISTINCT FROM k.after
   AND NOT EXISTS (SELECT FROM settlement_drafts d WHERE d.merchant_id = k.merchant_id AND d.business_date <> k.day)
ON CONFLICT (merchant_id, currency) DO NOTHING`;

/**
 * Claims the days of these steps: a draft for each currency in which something waits. Behind the merchants' locks, as closing is: a
 * day that was closed meanwhile is not begun again.
 */
export async function begin(
  database: Database,
  ids: SnowflakeGenerator,
  steps: readonly Step[],
  deadline: Deadline,
): Promise<void> {
  const drafts = steps.flatMap((step) => step.standing.waiting.map((one) => ({ ...step, ...one, id: ids.next() })));
  if (drafts.length === 0) return;
  const merchantIds = [...new Set(drafts.map(({ standing }) => standing.merchantId))].sort((a, b) => (a < b ? -1 : 1));
  const values = [
    int8Array(drafts.map(({ standing }) => standing.merchantId)),
    textArray(drafts.map(({ standing }) => standing.position?.businessDate)),
    textArray(drafts.map(({ day }) => day.day)),
    timestamptzArray(drafts.map(({ day }) => day.startMs)),
    timestamptzArray(drafts.map(({ day }) => day.endMs)),
    textArray(drafts.map(({ currency }) => currency)),
    int8Array(drafts.map(({ accountId }) => accountId)),
    int8Array(drafts.map(({ id }) => id)),
  ];
  await database.transaction({ merchantIds }, deadline, (client) =>
    allSettledThenThrow([
      client.query({ ...LOCK_MERCHANTS, values: [int8Array(merchantIds)] }),
      client.query({ text: LOCK_ASSIGNMENTS, values: [int8Array(merchantIds)] }),
      client.query({ text: LOCK_PLANS, values: [int8Array(merchantIds)] }),
      client.query({ text: BEGIN, values }),
    ]),
  );
}
