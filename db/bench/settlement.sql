-- What `npm run bench:night` divides by: a business day of many merchants, settled in one transaction by the owner of the tables,
-- who has nobody beside him, cannot be interrupted, and knows that all are on one plan, in one currency, and settled up to the day before. What
-- the service does on top (drafts that a crash leaves to the next one, the writer's guard of cached balances, every merchant for
-- himself, row-level security) he leaves out; lines, settlements, fees and events are the same.
-- In:  :business_date, :starts_at, :ends_at, :plan_id, :now_ms, :epoch_ms (of Snowflakes).
BEGIN;
SET LOCAL work_mem = '256MB';

CREATE TEMP TABLE days ON COMMIT DROP AS
SELECT a.merchant_id, a.id AS account_id, f.id AS fee_account_id, s.taken_through AS after, b.version AS looked_through,
       (:now_ms - :epoch_ms << 22) + row_number() OVER (ORDER BY a.merchant_id) AS settlement_id,
       (:now_ms + 1 - :epoch_ms << 22) + row_number() OVER (ORDER BY a.merchant_id) AS transaction_id
  FROM accounts a JOIN balances b ON b.merchant_id = a.merchant_id AND b.account_id = a.id
  JOIN accounts f ON f.merchant_id = a.merchant_id AND f.code = 'fee_revenue:EUR'
  JOIN settled_balances s ON s.merchant_id = a.merchant_id AND s.currency = 'EUR'
 WHERE a.code = 'merchant_payable:EUR' AND b.version > s.taken_through;
CREATE UNIQUE INDEX ON days (merchant_id);
ANALYZE days;

CREATE TEMP TABLE rules ON COMMIT DROP AS
SELECT r ->> 'applies_to' AS kind, coalesce((r ->> 'tier_from')::bigint, 0) AS tier_from,
       lead(coalesce((r ->> 'tier_from')::bigint, 0), 1, 9223372036854775807)
         OVER (PARTITION BY r ->> 'applies_to' ORDER BY coalesce((r ->> 'tier_from')::bigint, 0)) AS tier_until,
       (r ->> 'percent_bps')::bigint AS bps, (r ->> 'fixed')::bigint AS fixed, coalesce((r ->> 'min')::bigint, 0) AS least,
       coalesce((r ->> 'max')::bigint, 9223372036854775807) AS most
  FROM fee_plan_versions v CROSS JOIN json_array_elements(v.rules) AS r WHERE v.plan_id = :plan_id AND v.version = 1;

INSERT INTO settlement_lines (merchant_id, account_id, account_version, settlement_id, kind, payment_id, transaction_id, amount, fee,
                              fee_plan_id, fee_plan_version, effective_at, business_date)
SELECT e.merchant_id, e.account_id, e.account_version, e.settlement_id, e.kind, e.payment_id, e.transaction_id, e.amount,
       CASE WHEN r.kind IS NULL THEN 0
            WHEN e.kind = 'payment' THEN least(e.amount, least(greatest(h.rounded + r.fixed, r.least), r.most))
            ELSE least(greatest(h.rounded + r.fixed, r.least), r.most) END,
       CASE WHEN r.kind IS NOT NULL THEN :plan_id END, CASE WHEN r.kind IS NOT NULL THEN 1 END, e.effective_at, ':business_date'
  FROM (
    SELECT e.merchant_id, e.account_id, e.account_version, d.settlement_id, coalesce(i.kind, 'other') AS kind,
           i.subject_id AS payment_id, e.transaction_id, s.amount, e.effective_at,
           coalesce(v.gross, 0) + coalesce(sum(CASE i.kind WHEN 'payment' THEN s.amount ELSE 0 END) OVER (
             PARTITION BY e.merchant_id ORDER BY e.account_version ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS volume
      FROM days d JOIN entries e ON e.merchant_id = d.merchant_id AND e.account_id = d.account_id AND e.account_version > d.after
      LEFT JOIN fee_volumes v
        ON v.merchant_id = d.merchant_id AND v.currency = 'EUR' AND v.month = date_trunc('month', date ':business_date')
      LEFT JOIN payable_items i
        ON i.merchant_id = e.merchant_id AND i.account_id = e.account_id AND i.account_version = e.account_version
     CROSS JOIN LATERAL (SELECT -e.direction * e.posted_amount AS amount) s
     WHERE e.posted_amount <> 0 AND e.effective_at < ':ends_at') e
  LEFT JOIN rules r ON r.kind = e.kind AND e.volume >= r.tier_from AND e.volume < r.tier_until
                   AND CASE e.kind WHEN 'payment' THEN e.amount > 0 ELSE e.amount < 0 END
 CROSS JOIN LATERAL (
   SELECT p / 10000 + CASE WHEN 2 * (p % 10000) > 10000 OR 2 * (p % 10000) = 10000 AND p / 10000 % 2 = 1 THEN 1 ELSE 0 END AS rounded
     FROM (SELECT abs(e.amount) * r.bps AS p) p) h;

CREATE TEMP TABLE sums ON COMMIT DROP AS
SELECT d.*, l.*, l.gross - l.refunds - l.disputes + l.other + l.adjustments - l.fees AS net
  FROM days d JOIN (
    SELECT merchant_id AS of_merchant, count(*) AS items, min(account_version) AS first_version, max(account_version) AS last_version,
           sum(fee)::bigint AS fees,
           coalesce(sum(amount) FILTER (WHERE kind = 'payment' AND effective_at >= ':starts_at'), 0)::bigint AS gross,
           coalesce(-sum(amount) FILTER (WHERE kind = 'refund' AND effective_at >= ':starts_at'), 0)::bigint AS refunds,
           coalesce(-sum(amount) FILTER (WHERE kind = 'dispute' AND effective_at >= ':starts_at'), 0)::bigint AS disputes,
           coalesce(sum(amount) FILTER (WHERE kind = 'other' AND effective_at >= ':starts_at'), 0)::bigint AS other,
           coalesce(sum(amount) FILTER (WHERE effective_at < ':starts_at'), 0)::bigint AS adjustments,
           coalesce(sum(amount) FILTER (WHERE kind = 'payment'), 0)::bigint AS volume
      FROM settlement_lines WHERE business_date = ':business_date' GROUP BY merchant_id) l ON l.of_merchant = d.merchant_id;
CREATE UNIQUE INDEX ON sums (merchant_id);
ANALYZE sums;

-- The fees, posted: all of this plan's are above 0.
CREATE TEMP TABLE legs ON COMMIT DROP AS
SELECT s.merchant_id, s.settlement_id, s.transaction_id, snowflake_time(s.transaction_id) AS effective_at, s.fees, x.account_id, x.direction,
       b.version + 1 AS version, b.posted_debits + CASE x.direction WHEN 1 THEN s.fees ELSE 0 END AS posted_debits,
       b.posted_credits + CASE x.direction WHEN -1 THEN s.fees ELSE 0 END AS posted_credits, b.pending_debits, b.pending_credits
  FROM sums s CROSS JOIN LATERAL (VALUES (s.account_id, 1::smallint), (s.fee_account_id, -1::smallint)) AS x (account_id, direction)
  JOIN balances b ON b.merchant_id = s.merchant_id AND b.account_id = x.account_id;
CREATE UNIQUE INDEX ON legs (merchant_id, direction);
ANALYZE legs;
WITH posted AS (
  INSERT INTO transactions (merchant_id, created_at, id, kind, type, amount, currency, effective_at, metadata, legs, ignored_floor)
  SELECT d.merchant_id, d.effective_at, d.transaction_id, 'adjustment', 'settlement.fees', d.fees, 'EUR', d.effective_at,
         json_build_object('settlement_id', d.settlement_id::text), ARRAY[d.account_id, d.version, c.account_id, c.version], false
    FROM legs d JOIN legs c ON c.merchant_id = d.merchant_id AND c.direction = -1 WHERE d.direction = 1
), moved AS (
  INSERT INTO entries (merchant_id, account_id, account_version, transaction_id, direction, currency, posted_amount, pending_amount,
                       posted_debits, posted_credits, pending_debits, pending_credits, effective_at, type)
  SELECT merchant_id, account_id, version, transaction_id, direction, 'EUR', fees, 0, posted_debits, posted_credits, pending_debits,
         pending_credits, effective_at, 'settlement.fees'
    FROM legs
), lines AS (
  INSERT INTO settlement_lines (merchant_id, account_id, account_version, settlement_id, kind, transaction_id, amount, fee, effective_at,
                                business_date)
  SELECT merchant_id, account_id, version, settlement_id, 'fees', transaction_id, -fees, 0, effective_at, ':business_date'
    FROM legs WHERE direction = 1
), items AS (
  INSERT INTO payable_items (merchant_id, account_id, account_version, kind, subject_id)
  SELECT merchant_id, account_id, version, 'fees', settlement_id FROM legs WHERE direction = 1
), told AS (
  INSERT INTO events (merchant_id, xid, type, version, occurred_at, data)
  SELECT d.merchant_id, (SELECT log_xid()), 'transaction.adjusted', 1, d.effective_at, json_build_object(
           'transaction_id', d.transaction_id::text, 'type', 'settlement.fees', 'amount', d.fees::text, 'currency', 'EUR',
           'external_ref', NULL, 'effective_at', to_char(d.effective_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
           'metadata', json_build_object('settlement_id', d.settlement_id::text),
           'entries', json_build_array(
             json_build_object('account_id', d.account_id::text, 'account_version', d.version::text, 'direction', 'debit',
                               'currency', 'EUR', 'posted', d.fees::text, 'pending', '0'),
             json_build_object('account_id', c.account_id::text, 'account_version', c.version::text, 'direction', 'credit',
                               'currency', 'EUR', 'posted', c.fees::text, 'pending', '0')),
           'kind', 'adjustment', 'parent_id', NULL)
    FROM legs d JOIN legs c ON c.merchant_id = d.merchant_id AND c.direction = -1 WHERE d.direction = 1
)
UPDATE balances b
   SET posted_debits = l.posted_debits, posted_credits = l.posted_credits, version = l.version, last_transaction_id = l.transaction_id
  FROM legs l WHERE b.merchant_id = l.merchant_id AND b.account_id = l.account_id;

INSERT INTO settlements (merchant_id, id, business_date, currency, account_id, starts_at, ends_at, gross, refunds, disputes, other,
                         adjustments, fees, net, items, transaction_id, looked_through, first_version, last_version)
SELECT merchant_id, settlement_id, ':business_date', 'EUR', account_id, ':starts_at', ':ends_at', gross, refunds, disputes, other,
       adjustments, fees, net, items, transaction_id, looked_through, first_version, last_version FROM sums;
UPDATE settlement_positions p SET business_date = ':business_date', ended_at = ':ends_at' FROM days d WHERE p.merchant_id = d.merchant_id;
-- The entries of the fees are looked at, too.
UPDATE settled_balances b
   SET settled = b.settled + s.net, looked_through = s.looked_through + 1, taken_through = s.looked_through + 1
  FROM sums s WHERE b.merchant_id = s.merchant_id AND b.currency = 'EUR';
INSERT INTO fee_volumes AS v (merchant_id, currency, month, gross)
SELECT merchant_id, 'EUR', date_trunc('month', date ':business_date'), volume FROM sums
ON CONFLICT (merchant_id, currency, month) DO UPDATE SET gross = v.gross + excluded.gross;
INSERT INTO due_rows (merchant_id, kind, subject_id, due_at, try_at)
SELECT merchant_id, 'settlement', merchant_id, timestamptz ':ends_at' + interval '1 day', timestamptz ':ends_at' + interval '1 day' FROM days
ON CONFLICT (merchant_id, kind, subject_id) DO UPDATE SET due_at = excluded.due_at, try_at = excluded.try_at, attempts = 0;
INSERT INTO events (merchant_id, xid, type, version, occurred_at, data)
SELECT merchant_id, (SELECT log_xid()), 'settlement.posted', 1, snowflake_time(transaction_id), json_build_object(
         'settlement_id', settlement_id::text, 'business_date', ':business_date', 'currency', 'EUR', 'gross', gross::text,
         'refunds', refunds::text, 'disputes', disputes::text, 'other', other::text, 'adjustments', adjustments::text, 'fees', fees::text,
         'net', net::text, 'items', items::text, 'transaction_id', transaction_id::text)
  FROM sums;
COMMIT;
