import { firstOf, NAMED, UNNAMED } from './rules.js';

/**
 * SQL: what becomes of the rows of payments (`placed`) and their items (`items`), by the rules. A match is named by its first row.
 * `$6` is the tolerance of amounts.
 */
const ROWS = `
rows_found AS MATERIALIZED (
  SELECT p.*, f.currency AS payment_currency, i.item, i.amount, i.state, i.is_taken, i.missing, i.at,
         CASE WHEN p.currency <> f.currency THEN 'foreign' WHEN i.item IS NULL THEN 'unnamed' ELSE 'named' END AS way
    FROM placed p
    JOIN found f ON f.id = p.payment_id
    LEFT JOIN items i ON i.payment_id = p.payment_id AND i.kind = p.type AND i.object_ref = p.object_ref
   WHERE p.payments = 1
)`;

const DECIDE_NAMED = `
named AS MATERIALIZED (
  SELECT r.*, ${firstOf(NAMED, 'match')} AS rule, ${firstOf(NAMED, 'break')} AS kind,
         CASE WHEN is_exact OR total <> amount THEN reconciliation_id ELSE first_report END AS match_report,
         CASE WHEN is_exact OR total <> amount THEN line ELSE first_line END AS match_line
    FROM (
      SELECT r.*, row_number() OVER (of_item ORDER BY gross <> amount, reconciliation_id, line) AS nth,
             bool_or(gross = amount) OVER of_item AS is_exact, count(*) OVER of_item AS rows, sum(gross) OVER of_item AS total,
             first_value(reconciliation_id) OVER in_order AS first_report, first_value(line) OVER in_order AS first_line
        FROM rows_found r WHERE way = 'named'
      WINDOW of_item AS (PARTITION BY payment_id, item), in_order AS (PARTITION BY payment_id, item ORDER BY reconciliation_id, line)) r
)`;

/** A row in another currency than the payment's has the item that it names, where nobody else has it. */
const DECIDE_FOREIGN = `
foreign_rows AS MATERIALIZED (
  SELECT r.*, CASE WHEN n.item IS NULL AND NOT r.is_taken AND r.state <> 'undone'
                    AND row_number() OVER (PARTITION BY r.item ORDER BY r.reconciliation_id, r.line) = 1 THEN r.item END AS held
    FROM rows_found r LEFT JOIN (SELECT DISTINCT item FROM named) n ON n.item = r.item
   WHERE r.way = 'foreign'
)`;

const DECIDE_UNNAMED = `
unnamed_items AS MATERIALIZED (
  SELECT i.payment_id, i.kind, i.item, i.amount, i.at, i.missing,
         row_number() OVER (PARTITION BY i.payment_id, i.kind, i.amount ORDER BY i.at, i.item) AS nth,
         count(*) OVER (PARTITION BY i.payment_id, i.kind, i.amount) AS items
    FROM items i
    LEFT JOIN (SELECT item FROM rows_found WHERE item IS NOT NULL GROUP BY item) n ON n.item = i.item
   WHERE n.item IS NULL AND NOT i.is_taken AND i.state <> 'undone'
     AND EXISTS (SELECT FROM rows_found r WHERE r.way = 'unnamed' AND r.payment_id = i.payment_id AND r.type = i.kind)
), unnamed_rows AS MATERIALIZED (
  SELECT r.reconciliation_id, r.line, r.payment_id, r.type, r.gross,
         row_number() OVER (PARTITION BY r.payment_id, r.type, r.gross ORDER BY r.reconciliation_id, r.line) AS nth,
         count(*) OVER (PARTITION BY r.payment_id, r.type, r.gross) AS rows, coalesce(a.items, 0) AS items
    FROM rows_found r
    LEFT JOIN (SELECT payment_id, kind, amount, count(*) AS items FROM unnamed_items GROUP BY payment_id, kind, amount) a
      ON a.payment_id = r.payment_id AND a.kind = r.type AND a.amount = r.gross
   WHERE r.way = 'unnamed'
), paired AS MATERIALIZED (
  SELECT i.*, r.reconciliation_id, r.line, coalesce(a.rows, 0) AS rows FROM unnamed_items i
    LEFT JOIN (SELECT payment_id, type, gross, count(*) AS rows FROM unnamed_rows GROUP BY payment_id, type, gross) a
      ON a.payment_id = i.payment_id AND a.type = i.kind AND a.gross = i.amount
    LEFT JOIN unnamed_rows r ON r.payment_id = i.payment_id AND r.type = i.kind AND r.gross = i.amount AND r.nth = i.nth
), items_left AS MATERIALIZED (
  SELECT payment_id, kind, count(*) AS items_left, sum(amount) AS items_total, min(item) AS item, min(amount) AS amount, min(at) AS at,
         min(missing) AS missing
    FROM paired WHERE rows = 0 GROUP BY payment_id, kind
), told_amounts AS MATERIALIZED (
  SELECT payment_id, kind, amount FROM items WHERE is_matched
  UNION SELECT payment_id, type, amount FROM named WHERE rule IS NOT NULL
  UNION SELECT payment_id, kind, amount FROM paired WHERE rows >= items
), left_rows AS MATERIALIZED (
  SELECT u.*, count(*) FILTER (WHERE is_left) OVER of_payment AS rows_left, sum(gross) FILTER (WHERE is_left) OVER of_payment AS rows_total,
         first_value(reconciliation_id) OVER in_order AS first_report, first_value(line) OVER in_order AS first_line
    FROM (SELECT *, items <= rows AND nth > items AS is_left FROM unnamed_rows) u
  WINDOW of_payment AS (PARTITION BY payment_id, type),
         in_order AS (PARTITION BY payment_id, type, is_left ORDER BY reconciliation_id, line)
), unnamed AS MATERIALIZED (
  SELECT u.*, ${firstOf(UNNAMED, 'match')} AS rule, ${firstOf(UNNAMED, 'break')} AS kind
    FROM (SELECT u.*, coalesce(l.items_left, 0) AS items_left, l.items_total, l.item AS item_left, l.amount AS amount_left, l.at AS at_left,
                 l.missing AS missing_left, t.amount IS NOT NULL AS is_told
            FROM left_rows u
            LEFT JOIN items_left l ON l.payment_id = u.payment_id AND l.kind = u.type
            LEFT JOIN told_amounts t ON t.payment_id = u.payment_id AND t.kind = u.type AND t.amount = u.gross) u
)`;

/** Items of matches, and of breaks that are between a row and an item. */
const MATCHED_ITEMS = `
item_matches AS MATERIALIZED (
  SELECT payment_id AS unit, item, missing, match_report, match_line FROM named WHERE rule IS NOT NULL AND nth = 1
  UNION ALL SELECT payment_id, item, missing, reconciliation_id, line FROM paired WHERE rows >= items
  UNION ALL SELECT p.payment_id, p.item, p.missing, u.first_report, u.first_line
    FROM paired p
    JOIN (SELECT DISTINCT payment_id, type, first_report, first_line FROM unnamed WHERE rule = 'sum') u
      ON u.payment_id = p.payment_id AND u.type = p.kind
   WHERE p.rows = 0
)`;

/** `item`, `amount`, `at`: what stands against the row, of a match of two or of a break between them. */
const DECIDED = `
decided AS MATERIALIZED (
  SELECT reconciliation_id, line, payment_id AS unit, rule, kind, CASE WHEN rule IS NOT NULL THEN match_report END AS match_report,
         CASE WHEN rule IS NOT NULL THEN match_line END AS match_line, at,
         CASE WHEN kind IN ('amount_mismatch', 'status_mismatch') THEN item END AS item, amount, payment_currency
    FROM named
  UNION ALL
  SELECT reconciliation_id, line, payment_id, NULL, 'currency_mismatch', NULL, NULL, at, held, amount, payment_currency FROM foreign_rows
  UNION ALL
  SELECT u.reconciliation_id, u.line, u.payment_id, u.rule, u.kind, CASE u.rule WHEN 'sum' THEN first_report WHEN 'pairs' THEN u.reconciliation_id END,
         CASE u.rule WHEN 'sum' THEN first_line WHEN 'pairs' THEN u.line END, CASE WHEN u.rule = 'pairs' THEN p.at ELSE u.at_left END,
         CASE WHEN u.kind = 'amount_mismatch' THEN u.item_left END, CASE WHEN u.kind = 'amount_mismatch' THEN u.amount_left END, NULL
    FROM unnamed u LEFT JOIN paired p ON p.reconciliation_id = u.reconciliation_id AND p.line = u.line AND p.rows >= p.items
  UNION ALL
  SELECT reconciliation_id, line, NULL, NULL, CASE WHEN payments = 0 THEN 'missing_in_ledger' ELSE 'ambiguous' END, NULL, NULL, NULL, NULL, NULL, NULL
    FROM placed WHERE payments <> 1
)`;

/** Of `told`, `placed`, `found` and `items` it makes `decided` rows and `item_matches`. */
export const DECIDE_PAYMENTS = [ROWS, DECIDE_NAMED, DECIDE_FOREIGN, DECIDE_UNNAMED, MATCHED_ITEMS, DECIDED].join(',');
