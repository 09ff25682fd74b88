import { EFFECTIVE_AT_MAX_AHEAD_MS } from '#ledger/posting/command.js';
import { merchantDay } from '#ledger/reading/merchant-day.js';
import { FORGOTTEN_UNTIL } from '#ledger/verify/checks.js';
import type { Check } from '#platform/verify.js';

/**
 * $1 merchant. Up to where the consumer has applied the merchant's events: its own position, where it goes apart from its partition;
 * nowhere, for a consumer that never ran.
 */
const POSITION = `
SELECT coalesce(max(xid), '0'::xid8) AS xid, coalesce(max(seq), 0) AS seq FROM (
  SELECT xid, seq FROM (
    SELECT 1 AS place, xid, seq FROM merchant_positions WHERE merchant_id = $1 AND consumer = 'daily_summaries'
    UNION ALL SELECT 2, xid, seq FROM consumer_positions WHERE consumer = 'daily_summaries' AND partition = partition_of($1)) p
   ORDER BY place LIMIT 1) stands`;

/** $1 merchant. What the consumer has to have applied: no event that was given up on, and none that waits behind one. */
const APPLIED = `
SELECT e.* FROM events e CROSS JOIN (${POSITION}) p
 WHERE e.merchant_id = $1 AND (e.xid, e.seq) <= (p.xid, p.seq)
   AND NOT EXISTS (SELECT FROM dead_letters d
                    WHERE d.merchant_id = $1 AND d.consumer = 'daily_summaries' AND d.xid = e.xid AND d.seq = e.seq
                      AND d.status <> 'redriven')
   AND NOT EXISTS (SELECT FROM parked_streams s
                    WHERE s.merchant_id = $1 AND s.consumer = 'daily_summaries' AND (e.xid, e.seq) > (s.xid, s.seq))`;

/** $1 merchant. A fold of its own, so that a mistake of the consumer's is not repeated here. */
const FOLDED = `
SELECT ${merchantDay('m', `(e.data ->> 'effective_at')::timestamptz`)} AS day, (x ->> 'account_id')::bigint AS account_id,
       e.data ->> 'type' AS type, x ->> 'currency' AS currency,
       count(*) FILTER (WHERE x ->> 'direction' = 'debit') AS debit_count,
       coalesce(sum((x ->> 'posted')::numeric) FILTER (WHERE x ->> 'direction' = 'debit'), 0) AS debit_amount,
       count(*) FILTER (WHERE x ->> 'direction' = 'credit') AS credit_count,
       coalesce(sum((x ->> 'posted')::numeric) FILTER (WHERE x ->> 'direction' = 'credit'), 0) AS credit_amount
  FROM (${APPLIED}) e JOIN merchants m ON m.id = e.merchant_id CROSS JOIN LATERAL json_array_elements(e.data -> 'entries') x
 WHERE x ->> 'posted' <> '0' GROUP BY 1, 2, 3, 4`;

/** $1 merchant. When the newest entry that has been forgotten took effect, at the latest. */
const FORGOTTEN_EFFECTS = `(${FORGOTTEN_UNTIL}) + interval '${EFFECTIVE_AT_MAX_AHEAD_MS} milliseconds'`;

/** $1 merchant. Days of which no event has been forgotten. */
const WHOLE = `
day > (SELECT ${merchantDay('m', 'f.at')} FROM merchants m CROSS JOIN (SELECT ${FORGOTTEN_EFFECTS} AS at) f WHERE m.id = $1)`;

const SERVED = `
SELECT * FROM daily_summaries
 WHERE merchant_id = $1 AND generation = (SELECT generation FROM projections WHERE name = 'daily_summaries')`;

/** I6 for the consumer whose effects are in this database, and what an operator wants to know beside it. */
export const SUMMARY_CHECKS: readonly Check[] = [
  {
    name: 'I6: daily summaries hold every applied event once, and nothing else',
    count: `SELECT count(*) FROM (${APPLIED}) e`,
    find: `
SELECT format('%s, account %s, %s %s: debits %s (%s) and credits %s (%s), the events say %s (%s) and %s (%s)', day, account_id, type, currency,
              coalesce(s.debit_amount, 0), coalesce(s.debit_count, 0), coalesce(s.credit_amount, 0), coalesce(s.credit_count, 0),
              coalesce(f.debit_amount, 0), coalesce(f.debit_count, 0), coalesce(f.credit_amount, 0), coalesce(f.credit_count, 0))
  FROM (${SERVED}) s FULL JOIN (${FOLDED}) f USING (day, account_id, type, currency)
 WHERE ${WHOLE} AND (s.debit_count, s.debit_amount, s.credit_count, s.credit_amount)
       IS DISTINCT FROM (f.debit_count, f.debit_amount, f.credit_count, f.credit_amount) LIMIT $2`,
  },
  {
    name: 'I6: events that the daily summaries have not reached yet',
    count: `
SELECT count(*) FROM events e CROSS JOIN (${POSITION}) p WHERE e.merchant_id = $1 AND (e.xid, e.seq) > (p.xid, p.seq)`,
  },
  {
    name: 'I6: dead letters of all consumers that wait for an operator or a worker',
    count: `SELECT count(*) FROM dead_letters WHERE merchant_id = $1 AND status IN ('parked', 'redriving', 'discarding')`,
  },
];
