import { EPOCH_MS } from '#kernel/snowflake.js';
import type { Check } from '#platform/verify.js';
import { LEVEL_BITS, LEVELS } from '../accounts/back-dated-adjustments.js';
import { flawedSystemAccounts } from '../accounts/flawed-system-accounts.js';
import { HOLD_EXPIRY } from '../writing/group-parameters.js';

/** What the ledger's own tables are checked for: everything is computed again from the entries. */

const TRANSACTIONS = 'SELECT count(*) FROM transactions WHERE merchant_id = $1';
const ENTRIES = 'SELECT count(*) FROM entries WHERE merchant_id = $1';
const ACCOUNTS = 'SELECT count(*) FROM accounts WHERE merchant_id = $1';

/** Each entry beside the one before it on its account; zeros before the first. */
const CHAIN = `
SELECT e.*,
       lag(account_version, 1, 0::bigint) OVER w AS before_version, lag(transaction_id, 1, 0::bigint) OVER w AS before_id,
       lag(posted_debits, 1, 0::bigint) OVER w AS before_posted_debits, lag(posted_credits, 1, 0::bigint) OVER w AS before_posted_credits,
       lag(pending_debits, 1, 0::bigint) OVER w AS before_pending_debits, lag(pending_credits, 1, 0::bigint) OVER w AS before_pending_credits,
       lead(transaction_id) OVER w AS next_id
  FROM entries e WHERE merchant_id = $1 WINDOW w AS (PARTITION BY account_id ORDER BY account_version)`;

/** The entries that each transaction names, in order. */
const ENTRIES_NAMED = `
SELECT t.id, i AS place, t.legs[i] AS account_id, t.legs[i + 1] AS account_version
  FROM transactions t CROSS JOIN LATERAL generate_series(1, cardinality(t.legs), 2) AS i WHERE t.merchant_id = $1`;

const FOLDS = `
SELECT account_id, max(account_version) AS version, max(transaction_id) AS last_transaction_id,
       coalesce(sum(posted_amount) FILTER (WHERE direction = 1), 0) AS posted_debits,
       coalesce(sum(posted_amount) FILTER (WHERE direction = -1), 0) AS posted_credits,
       coalesce(sum(pending_amount) FILTER (WHERE direction = 1), 0) AS pending_debits,
       coalesce(sum(pending_amount) FILTER (WHERE direction = -1), 0) AS pending_credits
  FROM entries WHERE merchant_id = $1 GROUP BY account_id`;

/**
 * The amount of each transaction by its entries: debits in the first entry's currency. Of an adjustment what is posted, or, where
 * nothing is, what is pending; of credits, where no debit moves.
 */
const SUMS = `
SELECT e.transaction_id, t.amount, t.parent_id, t.kind,
       coalesce(nullif(sum(s.shown) FILTER (WHERE e.direction = 1 AND e.currency = t.currency), 0),
                sum(s.shown) FILTER (WHERE t.kind = 'adjustment' AND e.direction = -1 AND e.currency = t.currency)) AS entries_amount,
       bool_and(e.effective_at = t.effective_at AND e.type = t.type) AS same_facts,
       bool_and(CASE t.kind
                  WHEN 'pending' THEN e.posted_amount = 0 AND e.pending_amount > 0
                  WHEN 'capture' THEN e.pending_amount < 0 AND e.pending_amount <= -e.posted_amount
                  WHEN 'void' THEN e.posted_amount = 0 AND e.pending_amount < 0
                  WHEN 'expiry' THEN e.posted_amount = 0 AND e.pending_amount < 0
                  WHEN 'adjustment' THEN true
                  ELSE e.posted_amount > 0 AND e.pending_amount = 0 END) AS right_shape
  FROM transactions t JOIN (
    SELECT *, bool_or(posted_amount > 0) OVER (PARTITION BY transaction_id) AS posts FROM entries WHERE merchant_id = $1) e
    ON e.transaction_id = t.id
 CROSS JOIN LATERAL (
   SELECT CASE WHEN t.kind = 'capture' OR e.posted_amount > 0 OR t.kind = 'adjustment' AND e.posts THEN e.posted_amount
               ELSE abs(e.pending_amount) END AS shown) s
 WHERE t.merchant_id = $1 GROUP BY e.transaction_id, t.amount, t.parent_id, t.kind`;

/**
 * Each entry with what it moved that can be moved on, what it released of a hold, and what is left of it: all of it, where the
 * transaction has no state.
 */
const PARTS = `
SELECT t.id, t.kind, t.parent_id, e.account_id, e.direction, m.amount,
       CASE WHEN t.kind IN ('capture', 'void', 'expiry') THEN -e.pending_amount ELSE 0 END AS released,
       coalesce(s.left_amounts[(l.place + 1) / 2], m.amount) AS left_amount
  FROM (${ENTRIES_NAMED}) l JOIN transactions t ON t.merchant_id = $1 AND t.id = l.id
  JOIN entries e ON e.merchant_id = $1 AND e.account_id = l.account_id AND e.account_version = l.account_version
  LEFT JOIN transaction_states s ON s.merchant_id = $1 AND s.transaction_id = t.id
 CROSS JOIN LATERAL (SELECT CASE WHEN t.kind = 'pending' THEN e.pending_amount WHEN t.kind IN ('void', 'expiry', 'adjustment') THEN 0
                                 ELSE e.posted_amount END AS amount) m`;

/** An entry as the event tells it. */
const ENTRY_TEXT = `format('%s:%s:%s:%s:%s:%s', e.account_id, e.account_version,
  CASE e.direction WHEN 1 THEN 'debit' ELSE 'credit' END, e.currency, e.posted_amount, e.pending_amount)`;
const TOLD_TEXT = `format('%s:%s:%s:%s:%s:%s', x->>'account_id', x->>'account_version', x->>'direction', x->>'currency',
  x->>'posted', x->>'pending')`;

/** The newest moment whose events may have been forgotten (EVENT_RETENTION_DAYS). $1 merchant. */
export const FORGOTTEN_UNTIL = `SELECT coalesce(max(occurred_at), '-infinity') FROM event_horizons WHERE merchant_id = $1`;

export const LEDGER_CHECKS: readonly Check[] = [
  {
    name: 'I1: entries sum to zero per transaction and currency',
    count: TRANSACTIONS,
    find: `
SELECT format('transaction %s is off by %s posted and %s pending in %s', transaction_id, sum(direction * posted_amount),
              sum(direction * pending_amount), currency)
  FROM entries WHERE merchant_id = $1 GROUP BY transaction_id, currency
HAVING sum(direction * posted_amount) <> 0 OR sum(direction * pending_amount) <> 0 LIMIT $2`,
  },
  {
    name: 'running totals follow from entry to entry, without a gap in the versions',
    count: ENTRIES,
    find: `
SELECT format('account %s, version %s (transaction %s)', account_id, account_version, transaction_id) FROM (${CHAIN}) e
 WHERE account_version <> before_version + 1
    OR posted_debits <> before_posted_debits + CASE direction WHEN 1 THEN posted_amount ELSE 0 END
    OR posted_credits <> before_posted_credits + CASE direction WHEN -1 THEN posted_amount ELSE 0 END
    OR pending_debits <> before_pending_debits + CASE direction WHEN 1 THEN pending_amount ELSE 0 END
    OR pending_credits <> before_pending_credits + CASE direction WHEN -1 THEN pending_amount ELSE 0 END LIMIT $2`,
  },
  {
    name: 'ids ascend along the versions of an account',
    count: ENTRIES,
    find: `
SELECT format('account %s, version %s: transaction %s comes after %s', account_id, account_version, transaction_id, before_id)
  FROM (${CHAIN}) e WHERE transaction_id < before_id LIMIT $2`,
  },
  {
    name: 'I2: every balance is the sum of its entries, at their newest version',
    count: 'SELECT count(*) FROM balances WHERE merchant_id = $1',
    find: `
SELECT format('account %s', coalesce(b.account_id, f.account_id))
  FROM (SELECT * FROM balances WHERE merchant_id = $1) b FULL JOIN (${FOLDS}) f ON f.account_id = b.account_id
 WHERE b.account_id IS NULL
    OR (b.version, b.last_transaction_id, b.posted_debits, b.posted_credits, b.pending_debits, b.pending_credits)
       IS DISTINCT FROM (coalesce(f.version, 0), coalesce(f.last_transaction_id, 0), coalesce(f.posted_debits, 0),
                         coalesce(f.posted_credits, 0), coalesce(f.pending_debits, 0), coalesce(f.pending_credits, 0)) LIMIT $2`,
  },
  {
    // Whoever lowers `available` is bound, once for all entries of a transaction; money may always come in.
    name: 'I2: nobody lowered available to below its floor, but for operators who said so and the facts of payments',
    count: 'SELECT count(*) FROM accounts WHERE merchant_id = $1 AND min_available IS NOT NULL',
    find: `
SELECT format('account %s, version %s (transaction %s): %s available, the floor is %s', e.account_id, e.account_version,
              e.transaction_id, e.available, e.min_available)
  FROM (SELECT e.*, a.min_available, v.available,
               sum(v.effect) OVER (PARTITION BY e.account_id, e.transaction_id) AS effect
          FROM (${CHAIN}) e JOIN accounts a ON a.merchant_id = e.merchant_id AND a.id = e.account_id
         CROSS JOIN LATERAL (
           SELECT CASE a.normal_side WHEN 1 THEN e.posted_debits - e.posted_credits - e.pending_credits
                                     ELSE e.posted_credits - e.posted_debits - e.pending_debits END AS available,
                  CASE WHEN a.normal_side = e.direction THEN e.posted_amount
                       ELSE -e.posted_amount - e.pending_amount END AS effect) v
         WHERE a.min_available IS NOT NULL) e
  JOIN transactions t ON t.merchant_id = $1 AND t.id = e.transaction_id
 WHERE e.available < e.min_available AND e.effect < 0 AND NOT t.ignored_floor AND t.kind <> 'adjustment'
   AND e.next_id IS DISTINCT FROM e.transaction_id LIMIT $2`,
  },
  {
    name: 'every transaction has its entries and every entry its transaction',
    count: ENTRIES,
    find: `
SELECT CASE WHEN e.account_id IS NULL THEN format('transaction %s lacks its entry on account %s, version %s', l.id, l.account_id, l.account_version)
            ELSE format('account %s, version %s: its transaction %s does not know it', e.account_id, e.account_version, e.transaction_id) END
  FROM (${ENTRIES_NAMED}) l FULL JOIN (SELECT * FROM entries WHERE merchant_id = $1) e
    ON e.account_id = l.account_id AND e.account_version = l.account_version AND e.transaction_id = l.id
 WHERE e.account_id IS NULL OR l.id IS NULL LIMIT $2`,
  },
  {
    name: 'amounts, types and times of transactions are those of their entries',
    count: TRANSACTIONS,
    find: `
SELECT format('transaction %s: %s, its entries say %s', transaction_id, amount, entries_amount) FROM (${SUMS}) s
 WHERE amount IS DISTINCT FROM entries_amount OR NOT same_facts OR NOT right_shape LIMIT $2`,
  },
  {
    name: 'entries are in the currency of their account',
    count: ENTRIES,
    find: `
SELECT format('account %s, version %s: %s, the account is in %s', e.account_id, e.account_version, e.currency, a.currency)
  FROM entries e LEFT JOIN accounts a ON a.merchant_id = e.merchant_id AND a.id = e.account_id
 WHERE e.merchant_id = $1 AND e.currency IS DISTINCT FROM a.currency LIMIT $2`,
  },
  {
    name: 'parents exist, came first, and can be moved that way',
    count: 'SELECT count(*) FROM transactions WHERE merchant_id = $1 AND parent_id IS NOT NULL',
    find: `
SELECT format('transaction %s (%s) of parent %s (%s)', c.id, c.kind, c.parent_id, coalesce(p.kind, 'missing'))
  FROM transactions c LEFT JOIN transactions p ON p.merchant_id = c.merchant_id AND p.id = c.parent_id
 WHERE c.merchant_id = $1 AND c.parent_id IS NOT NULL
   AND (p.id IS NULL OR p.id >= c.id
        OR CASE c.kind WHEN 'reversal' THEN p.kind NOT IN ('posted', 'capture', 'reversal') ELSE p.kind <> 'pending' END) LIMIT $2`,
  },
  {
    name: 'states are what the captures, releases and reversals made of them',
    count: 'SELECT count(*) FROM transaction_states WHERE merchant_id = $1',
    find: `
WITH children AS MATERIALIZED (
  SELECT parent_id AS id, bool_or(kind = 'reversal') AS reversed, bool_or(kind = 'void') AS voided, bool_or(kind = 'expiry') AS expired,
         bool_or(kind = 'capture') AS captured
    FROM transactions WHERE merchant_id = $1 AND parent_id IS NOT NULL GROUP BY parent_id
), parts AS MATERIALIZED (${PARTS}), taken AS (
  -- A reversal takes what is not reversed of itself, on the other side.
  SELECT parent_id AS id, account_id, CASE kind WHEN 'reversal' THEN -direction ELSE direction END AS direction,
         sum(CASE kind WHEN 'reversal' THEN left_amount ELSE released END) AS amount
    FROM parts WHERE parent_id IS NOT NULL GROUP BY 1, 2, 3
), sides AS (
  SELECT p.id, p.direction, p.amount, p.left_amount, p.amount - coalesce(k.amount, 0) AS expected
    FROM (SELECT id, account_id, direction, sum(amount) AS amount, sum(left_amount) AS left_amount FROM parts GROUP BY 1, 2, 3) p
    LEFT JOIN taken k ON k.id = p.id AND k.account_id = p.account_id AND k.direction = p.direction
), sums AS (
  SELECT id, sum(amount) FILTER (WHERE direction = 1) AS debits, sum(expected) FILTER (WHERE direction = 1) AS left_debits,
         bool_and(left_amount = expected AND expected >= 0) AS fits FROM sides GROUP BY id
), expected AS (
  SELECT t.id, m.fits, r.remaining, CASE t.kind WHEN 'pending' THEN 0 ELSE m.debits - m.left_debits END AS reversed,
         CASE WHEN t.kind <> 'pending' THEN 'posted' WHEN c.voided THEN 'voided' WHEN c.expired THEN 'expired'
              WHEN r.remaining = 0 THEN 'posted' WHEN c.captured THEN 'partially_posted' ELSE 'pending' END AS status
    FROM transactions t JOIN sums m ON m.id = t.id LEFT JOIN children c ON c.id = t.id
    CROSS JOIN LATERAL (SELECT CASE t.kind WHEN 'pending' THEN m.left_debits ELSE 0 END AS remaining) r
   WHERE t.merchant_id = $1 AND (t.kind = 'pending' OR c.reversed)
)
SELECT CASE WHEN s.transaction_id IS NULL THEN format('transaction %s has no state', x.id)
            WHEN x.id IS NULL THEN format('transaction %s has a state and nothing that made it', s.transaction_id)
            ELSE format('transaction %s: %s, %s left, %s reversed; expected %s, %s, %s', x.id, s.status, s.remaining, s.reversed,
                        x.status, x.remaining, x.reversed) END
  FROM (SELECT * FROM transaction_states WHERE merchant_id = $1) s FULL JOIN expected x ON x.id = s.transaction_id
 WHERE s.transaction_id IS NULL OR x.id IS NULL OR NOT x.fits
    OR (s.status, s.remaining, s.reversed) IS DISTINCT FROM (x.status, x.remaining, x.reversed) LIMIT $2`,
  },
  {
    name: 'every hold that is to end at a time is due then, and nothing else is',
    count: `SELECT count(*) FROM due_rows WHERE merchant_id = $1 AND kind = '${HOLD_EXPIRY}'`,
    find: `
SELECT CASE WHEN d.subject_id IS NULL THEN format('transaction %s ends at %s and is never due', h.id, h.expires_at)
            WHEN h.id IS NULL THEN format('transaction %s is due at %s and holds nothing that ends', d.subject_id, d.due_at)
            ELSE format('transaction %s ends at %s and is due at %s', h.id, h.expires_at, d.due_at) END
  FROM (SELECT t.id, t.expires_at FROM transactions t
          JOIN transaction_states s ON s.merchant_id = t.merchant_id AND s.transaction_id = t.id
         WHERE t.merchant_id = $1 AND t.expires_at IS NOT NULL AND s.remaining > 0) h
  FULL JOIN (SELECT subject_id, due_at FROM due_rows WHERE merchant_id = $1 AND kind = '${HOLD_EXPIRY}') d ON d.subject_id = h.id
 WHERE d.subject_id IS NULL OR h.id IS NULL OR d.due_at <> h.expires_at LIMIT $2`,
  },
  {
    name: 'I4: every idempotency key has its transaction, no transaction two keys',
    count: 'SELECT count(*) FROM idempotency_keys WHERE merchant_id = $1',
    find: `
WITH told AS (
  SELECT key, transaction_id FROM idempotency_keys WHERE merchant_id = $1 AND transaction_id IS NOT NULL
  UNION ALL
  SELECT key, (item #>> '{}')::bigint FROM idempotency_keys
   CROSS JOIN LATERAL json_array_elements(CASE json_typeof(response) WHEN 'array' THEN response ELSE '[]' END) AS item
   WHERE merchant_id = $1 AND json_typeof(item) = 'string')
SELECT * FROM (
  SELECT format('key %s: there is no transaction %s', key, transaction_id) FROM told
   WHERE NOT EXISTS (SELECT FROM transactions t WHERE t.merchant_id = $1 AND t.id = told.transaction_id)
  UNION ALL
  SELECT format('transaction %s has the keys %s', transaction_id, string_agg(key, ', ' ORDER BY key)) FROM told
   GROUP BY transaction_id HAVING count(*) > 1) broken LIMIT $2`,
  },
  {
    name: 'sums and versions of late entries are those of the entries',
    count: 'SELECT count(*) FROM late_sums WHERE merchant_id = $1',
    find: `
WITH points AS (
  SELECT account_id, account_version, direction, sign, sign * posted_amount AS posted, sign * pending_amount AS pending, at_ms, created_ms
    FROM (SELECT *, (extract(epoch FROM effective_at) * 1000)::bigint AS effective_ms, (transaction_id >> 22) + ${EPOCH_MS} AS created_ms
            FROM entries WHERE merchant_id = $1) e
   CROSS JOIN LATERAL (VALUES (1, effective_ms), (-1, created_ms)) AS p (sign, at_ms)
   WHERE effective_ms <> created_ms
), sums AS (
  SELECT account_id, level, at_ms >> (${LEVEL_BITS} * level) AS bucket,
         sum(posted) FILTER (WHERE direction = 1) AS posted_debits, sum(posted) FILTER (WHERE direction = -1) AS posted_credits,
         sum(pending) FILTER (WHERE direction = 1) AS pending_debits, sum(pending) FILTER (WHERE direction = -1) AS pending_credits,
         max(account_version) FILTER (WHERE sign = 1 AND at_ms >> (${LEVEL_BITS} * level) < created_ms >> (${LEVEL_BITS} * level)) AS newest_version
    FROM points CROSS JOIN generate_series(0, ${LEVELS - 1}) AS level GROUP BY account_id, level, at_ms >> (${LEVEL_BITS} * level)
)
SELECT format('account %s, level %s, bucket %s', coalesce(l.account_id, s.account_id), coalesce(l.level, s.level), coalesce(l.bucket, s.bucket))
  FROM (SELECT * FROM late_sums WHERE merchant_id = $1) l
  FULL JOIN sums s ON s.account_id = l.account_id AND s.level = l.level AND s.bucket = l.bucket
 WHERE (coalesce(l.posted_debits, 0), coalesce(l.posted_credits, 0), coalesce(l.pending_debits, 0), coalesce(l.pending_credits, 0),
        coalesce(l.newest_version, 0))
    <> (coalesce(s.posted_debits, 0), coalesce(s.posted_credits, 0), coalesce(s.pending_debits, 0), coalesce(s.pending_credits, 0),
        coalesce(s.newest_version, 0)) LIMIT $2`,
  },
  {
    name: 'created_at is the millisecond of the Snowflake',
    count: `SELECT (${TRANSACTIONS}) + (${ACCOUNTS}) + 1`,
    find: `
SELECT format('%s %s', what, id)
  FROM (SELECT 'transaction' AS what, id, created_at FROM transactions WHERE merchant_id = $1
        UNION ALL SELECT 'account', id, created_at FROM accounts WHERE merchant_id = $1
        UNION ALL SELECT 'merchant', id, created_at FROM merchants WHERE id = $1) rows
 WHERE created_at <> snowflake_time(id) LIMIT $2`,
  },
  {
    name: 'every transaction is told by one event, with its entries',
    count: `SELECT count(*) FROM events WHERE merchant_id = $1 AND type LIKE 'transaction.%'`,
    find: `
WITH told AS (
  SELECT (data ->> 'transaction_id')::bigint AS id, type, data, count(*) OVER (PARTITION BY data ->> 'transaction_id') AS times,
         (SELECT string_agg(${TOLD_TEXT}, ',' ORDER BY place) FROM json_array_elements(data -> 'entries') WITH ORDINALITY AS i (x, place)) AS entries
    FROM events WHERE merchant_id = $1 AND type LIKE 'transaction.%' AND occurred_at > (${FORGOTTEN_UNTIL})
), written AS (
  SELECT t.id, t.kind, t.amount, t.currency, t.parent_id, t.external_ref, t.effective_at, t.ignored_floor,
         coalesce(t.metadata, '{}')::jsonb AS metadata,
         CASE t.kind WHEN 'pending' THEN 'transaction.pending' WHEN 'void' THEN 'transaction.voided'
                     WHEN 'expiry' THEN 'transaction.expired'
                     WHEN 'adjustment' THEN 'transaction.adjusted' ELSE 'transaction.posted' END AS type, l.entries
    FROM transactions t LEFT JOIN (
      SELECT l.id, string_agg(${ENTRY_TEXT}, ',' ORDER BY l.place) AS entries
        FROM (${ENTRIES_NAMED}) l JOIN entries e ON e.merchant_id = $1 AND e.account_id = l.account_id AND e.account_version = l.account_version
       GROUP BY l.id) l ON l.id = t.id
   WHERE t.merchant_id = $1 AND t.created_at > (${FORGOTTEN_UNTIL})
)
SELECT CASE WHEN v.id IS NULL THEN format('transaction %s has no event', w.id)
            WHEN w.id IS NULL THEN format('an event tells of transaction %s, which is not there', v.id)
            WHEN v.times > 1 THEN format('transaction %s has %s events', v.id, v.times)
            ELSE format('the event of transaction %s tells something else', v.id) END
  FROM told v FULL JOIN written w ON w.id = v.id
 WHERE v.id IS NULL OR w.id IS NULL OR v.times > 1
    OR (v.type, v.entries, v.data ->> 'kind', v.data ->> 'amount', v.data ->> 'currency', v.data ->> 'parent_id',
        v.data ->> 'external_ref', (v.data ->> 'effective_at')::timestamptz)
       IS DISTINCT FROM (w.type, w.entries, w.kind, w.amount::text, w.currency, w.parent_id::text, w.external_ref, w.effective_at)
    -- Earlier versions did not tell these.
    OR (v.data -> 'metadata')::jsonb <> w.metadata OR (v.data ->> 'ignored_floor')::boolean <> w.ignored_floor LIMIT $2`,
  },
  {
    name: 'every merchant has its system accounts in each of its currencies, open',
    count: 'SELECT coalesce(sum(cardinality(currencies)), 0) FROM merchants WHERE id = $1',
    find: `
SELECT format('%s:%s, account %s: %s', name, currency, account_id,
              CASE WHEN account_id IS NULL THEN 'missing' WHEN fits THEN 'closed' ELSE 'the merchant’s own' END)
  FROM (${flawedSystemAccounts('$1')}) f LIMIT $2`,
  },
  {
    name: 'every account has a balance and its events, and is empty once closed',
    count: ACCOUNTS,
    find: `
WITH told AS (
  SELECT (data ->> 'account_id')::bigint AS id, count(*) FILTER (WHERE type = 'account.created') AS created,
         count(*) FILTER (WHERE type = 'account.closed') - count(*) FILTER (WHERE type = 'account.reopened') AS closed
    FROM events WHERE merchant_id = $1 AND type LIKE 'account.%' GROUP BY 1)
SELECT format('account %s', coalesce(a.id, v.id))
  FROM (SELECT * FROM accounts WHERE merchant_id = $1) a
  LEFT JOIN (SELECT * FROM balances WHERE merchant_id = $1) b ON b.account_id = a.id
  FULL JOIN told v ON v.id = a.id
 WHERE a.id IS NULL OR b.account_id IS NULL OR (a.created_at > (${FORGOTTEN_UNTIL}) AND (v.id IS NULL OR v.created <> 1 OR v.closed <> b.closed::int))
    OR (b.closed AND (b.posted_debits <> b.posted_credits OR b.pending_debits <> 0 OR b.pending_credits <> 0)) LIMIT $2`,
  },
];
