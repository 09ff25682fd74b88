/**
 * SQL: numerator ÷ denominator, which is above zero, to the nearest whole number, of two as near to the even one. In `numeric`, which
 * no product leaves.
 */
export function halfEven(numerator: string, denominator: string): string {
  const [n, d] = [`abs((${numerator})::numeric)`, `(${denominator})::numeric`];
  const isUp = `2 * mod(${n}, ${d}) > ${d} OR (2 * mod(${n}, ${d}) = ${d} AND mod(div(${n}, ${d}), 2) = 1)`;
  return `(sign(${numerator}) * (div(${n}, ${d}) + CASE WHEN ${isUp} THEN 1 ELSE 0 END))`;
}

/**
 * $1 merchants, $2 currencies, $3 settlements, $4 versions that are drafted, $5 versions up to which is to be drafted. Locks drafts
 * that are still as they were, one by one by their keys, and leaves out those that somebody else is at work on. Tells the days of
 * UTC in which something happened before the draft's own day.
 */
export const LOCK_DRAFTS = `
SELECT d.merchant_id, d.currency, d.settlement_id, d.account_id, d.starts_at, d.ends_at, d.seen_through,
       to_char(d.business_date, 'YYYY-MM-DD') AS business_date, k.after, k.until,
       ARRAY(SELECT DISTINCT floor(extract(epoch FROM e.effective_at) / 86400)::int FROM entries e
              WHERE e.merchant_id = d.merchant_id AND e.account_id = d.account_id AND e.account_version > k.after
                AND e.account_version <= k.until AND e.posted_amount <> 0 AND e.effective_at < d.starts_at) AS earlier
  FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[]) AS k (merchant_id, currency, settlement_id, after, until)
  CROSS JOIN LATERAL (SELECT * FROM settlement_drafts WHERE merchant_id = k.merchant_id AND currency = k.currency
                         FOR UPDATE SKIP LOCKED) d
 WHERE d.settlement_id = k.settlement_id AND d.drafted_through = k.after`;

/** What a payment's line takes back of what was captured: a refund, or a capture that failed; one that is undone the reverse. */
const TAKES_BACK = `(kind = 'refund' OR (kind = 'payment' AND amount < 0))`;
/** Of it what gives back fees, too: a capture that failed always, a refund by its plan. */
const GIVES_BACK = `((kind = 'refund' AND refund_returns_fee) OR (kind = 'payment' AND amount < 0))`;

/** Of what `taken` takes back of all that was captured: how much of what was charged for it. */
function share(taken: string): string {
  return halfEven(`charged * least(${taken}, captured)`, 'captured');
}

/** What becomes of an item. */
const LINE = `merchant_id, currency, settlement_id, account_id, account_version, transaction_id, effective_at, kind, subject_id, amount, is_of_day,
         business_date, month, plan_id, plan_version`;

/**
 * $1 the drafts with the pieces of time that they have to do with: piece n begins at since[n]. $2 the terms of plans. Both JSON.
 *
 * An item's fee is charged by the terms of its piece and kind, in the tier that the month had reached before it: in the order of the
 * account's versions, after all that was drafted before. What is given back is a share of what the payment was charged, by lines
 * before this one.
 *
 * What belongs to entries is read in one range for each draft and hashed: under row-level security every search of an index carries the
 * list of all merchants, and a search for each entry costs twice as much (docs/figures/night.md). Amount × bps leaves bigint, its
 * quotient does not: tens of thousands and the rest are multiplied apart.
 */
export const DRAFT = `
WITH asked AS MATERIALIZED (
  SELECT a.*, ARRAY(SELECT coalesce((SELECT gross FROM fee_volumes
                                      WHERE merchant_id = a.merchant_id AND currency = a.currency AND month = m.month LIMIT 1), 0)
                      FROM unnest(a.months) WITH ORDINALITY AS m (month, n) ORDER BY n) AS reached
    FROM json_to_recordset($1::json) AS a (
      merchant_id bigint, currency text, settlement_id bigint, account_id bigint, after bigint, until bigint, seen_through bigint,
      starts_at timestamptz, ends_at timestamptz, since timestamptz[], dates date[], months date[], plan_ids bigint[],
      plan_versions int[], returns boolean[], terms int[])
), terms AS MATERIALIZED (
  SELECT * FROM json_to_recordset($2::json) AS t (
    no int, kind text, tiers numeric[], bps bigint[], fixed bigint[], least bigint[], most bigint[])
), items AS MATERIALIZED (
  SELECT a.merchant_id, a.account_id, i.*
    FROM asked a
    CROSS JOIN LATERAL (
      SELECT account_version, kind, subject_id, fee FROM payable_items
       WHERE merchant_id = a.merchant_id AND account_id = a.account_id AND account_version > a.after AND account_version <= a.until
       OFFSET 0) i
), found AS MATERIALIZED (
  SELECT a.merchant_id, a.currency, a.settlement_id, a.account_id, e.account_version, e.transaction_id, e.effective_at,
         coalesce(i.kind, 'other') AS kind, i.subject_id, CASE WHEN i.kind = 'payout' THEN 0 ELSE e.amount END AS amount,
         i.fee AS payout_fee, e.effective_at >= a.ends_at AS is_left, e.effective_at >= a.starts_at AS is_of_day,
         a.dates[p.n] AS business_date, a.months[p.n] AS month, a.reached[p.n] AS reached, a.plan_ids[p.n] AS plan_id, a.plan_versions[p.n] AS plan_version,
         coalesce(a.returns[p.n], false) AS refund_returns_fee, a.terms[p.n] AS terms
    FROM asked a
    CROSS JOIN LATERAL (
      SELECT account_version, transaction_id, effective_at, -direction * posted_amount AS amount FROM entries
       WHERE merchant_id = a.merchant_id AND account_id = a.account_id AND account_version > a.after AND account_version <= a.until
         AND posted_amount <> 0 OFFSET 0) e
    LEFT JOIN items i ON i.merchant_id = a.merchant_id AND i.account_id = a.account_id AND i.account_version = e.account_version
    CROSS JOIN LATERAL (SELECT width_bucket(e.effective_at, a.since) AS n) p
   WHERE i.kind IS DISTINCT FROM 'fees'
     AND (e.account_version > a.seen_through
          OR (SELECT true FROM settlement_lines
               WHERE merchant_id = a.merchant_id AND account_id = a.account_id AND account_version = e.account_version LIMIT 1) IS NULL)
), measured AS (
  SELECT f.*, f.reached + coalesce(sum(f.amount) FILTER (WHERE f.kind = 'payment') OVER earlier, 0) AS volume
    FROM found f
   WHERE NOT f.is_left
  WINDOW earlier AS (PARTITION BY f.merchant_id, f.account_id, f.month ORDER BY f.account_version
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
), priced AS MATERIALIZED (
  SELECT m.*, CASE m.kind WHEN 'payout' THEN m.payout_fee WHEN 'payment' THEN least(coalesce(c.fee, 0), greatest(m.amount, 0))
                          ELSE coalesce(c.fee, 0) END AS own_fee
    FROM measured m
    LEFT JOIN terms t ON t.no = m.terms AND t.kind = m.kind
    CROSS JOIN LATERAL (SELECT width_bucket(greatest(m.volume, 0), t.tiers) AS n) tier
    CROSS JOIN LATERAL (
      SELECT CASE WHEN (m.amount > 0) = (m.kind = 'payment') AND m.amount <> 0 AND tier.n > 0 THEN
               least(greatest(h.down + CASE WHEN h.over > 5000 OR (h.over = 5000 AND h.down % 2 = 1) THEN 1 ELSE 0 END + t.fixed[tier.n],
                              t.least[tier.n]), t.most[tier.n])
             END AS fee
        FROM (SELECT abs(m.amount) / 10000 * t.bps[tier.n] + abs(m.amount) % 10000 * t.bps[tier.n] / 10000 AS down,
                     abs(m.amount) % 10000 * t.bps[tier.n] % 10000 AS over) h) c
), prior AS MATERIALIZED (
  SELECT of.*, p.*
    FROM (SELECT DISTINCT merchant_id, account_id, subject_id FROM found WHERE NOT is_left AND ${GIVES_BACK}) of
    CROSS JOIN LATERAL (
      SELECT sum(l.fee) FILTER (WHERE kind = 'payment' AND amount > 0) AS charged,
             sum(l.amount) FILTER (WHERE kind = 'payment' AND amount > 0) AS captured, -sum(l.amount) FILTER (WHERE ${TAKES_BACK}) AS taken
        FROM (SELECT account_version FROM payable_items
               WHERE merchant_id = of.merchant_id AND subject_id = of.subject_id AND account_id = of.account_id OFFSET 0) i
        CROSS JOIN LATERAL (SELECT kind, amount, fee FROM settlement_lines
                             WHERE merchant_id = of.merchant_id AND account_id = of.account_id AND account_version = i.account_version
                             LIMIT 1) l) p
), given AS (
  -- Of payments of which something gives back alone: the rest needs no more than its own fee.
  SELECT r.*, CASE WHEN captured > 0 THEN ${share('taken - amount')} - ${share('taken')} ELSE 0 END AS back
    FROM (
      SELECT p.*,
             coalesce(b.charged, 0) + coalesce(sum(own_fee) FILTER (WHERE kind = 'payment' AND amount > 0) OVER earlier, 0) AS charged,
             coalesce(b.captured, 0) + coalesce(sum(amount) FILTER (WHERE kind = 'payment' AND amount > 0) OVER earlier, 0) AS captured,
             coalesce(b.taken, 0) - coalesce(sum(amount) FILTER (WHERE ${TAKES_BACK}) OVER earlier, 0) AS taken
        FROM prior b JOIN priced p USING (merchant_id, account_id, subject_id)
      WINDOW earlier AS (PARTITION BY p.merchant_id, p.account_id, p.subject_id ORDER BY p.account_version
                        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)) r
   WHERE ${GIVES_BACK}
), lines AS MATERIALIZED (
  SELECT ${LINE}, own_fee AS fee FROM priced WHERE NOT ${GIVES_BACK}
  UNION ALL
  SELECT ${LINE}, own_fee - back FROM given
), written AS (
  INSERT INTO settlement_lines (merchant_id, account_id, account_version, settlement_id, kind, payment_id, transaction_id, amount, fee,
                                fee_plan_id, fee_plan_version, effective_at, business_date)
  SELECT merchant_id, account_id, account_version, settlement_id, kind,
         CASE WHEN kind IN ('payment', 'refund', 'dispute') THEN subject_id END, transaction_id, amount, fee, plan_id, plan_version,
         effective_at, business_date
    FROM lines
), volumes AS (
  INSERT INTO fee_volumes AS v (merchant_id, currency, month, gross)
  SELECT merchant_id, currency, month, sum(amount) FROM lines WHERE kind = 'payment' GROUP BY merchant_id, currency, month
  ON CONFLICT (merchant_id, currency, month) DO UPDATE SET gross = v.gross + excluded.gross
), summed AS (
  SELECT merchant_id, currency, count(*) AS items, sum(fee) AS fees, min(account_version) AS first_version,
         max(account_version) AS last_version, sum(amount) FILTER (WHERE NOT is_of_day) AS adjustments,
         sum(amount) FILTER (WHERE is_of_day AND kind = 'payment') AS gross, -sum(amount) FILTER (WHERE is_of_day AND kind = 'refund') AS refunds,
         -sum(amount) FILTER (WHERE is_of_day AND kind = 'dispute') AS disputes, sum(amount) FILTER (WHERE is_of_day AND kind = 'other') AS other
    FROM lines GROUP BY merchant_id, currency
), remaining AS (
  SELECT merchant_id, currency, min(account_version) AS first_left FROM found WHERE is_left GROUP BY merchant_id, currency
)
UPDATE settlement_drafts d
   SET drafted_through = a.until, gross = d.gross + coalesce(s.gross, 0), refunds = d.refunds + coalesce(s.refunds, 0),
       disputes = d.disputes + coalesce(s.disputes, 0), other = d.other + coalesce(s.other, 0),
       adjustments = d.adjustments + coalesce(s.adjustments, 0), fees = d.fees + coalesce(s.fees, 0), items = d.items + coalesce(s.items, 0),
       first_version = coalesce(d.first_version, s.first_version), last_version = coalesce(s.last_version, d.last_version),
       first_left = coalesce(d.first_left, l.first_left)
  FROM asked a LEFT JOIN summed s USING (merchant_id, currency) LEFT JOIN remaining l USING (merchant_id, currency)
 WHERE d.merchant_id = a.merchant_id AND d.currency = a.currency`;
