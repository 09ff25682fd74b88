import { hasMovement, KIND_OF_FACT, settledFee } from '#payments/payment-items.js';
import { OF_PROVIDER, PAYMENT_ROWS } from './payments.js';
import { IS_OF_ROW, IS_OPEN, NAME_OF_BREAK } from './sides.js';

/** The item that the row `c` names, of the payment `p`. */
const ITEM = `'payment/' || p.id || '/' || c.type || '/' || c.object_ref`;

/** What nobody has matched before: neither the row, nor a row of its payment, nor its item. */
const IS_NEW = `
        (SELECT true FROM report_rows r WHERE r.merchant_id + 0 = $1 AND r.source = $2 AND r.identity = c.identity LIMIT 1) IS NULL
    AND (SELECT true FROM report_rows r WHERE r.merchant_id + 0 = $1 AND r.source = $2 AND r.reference = c.reference LIMIT 1) IS NULL
    AND (SELECT true FROM reconciled_items r WHERE r.merchant_id + 0 = $1 AND r.item = ${ITEM} LIMIT 1) IS NULL
    AND (SELECT true FROM breaks b WHERE b.merchant_id = $1 AND b.item = ${ITEM} AND b.${IS_OPEN}
          LIMIT 1) IS NULL`;

/** Its fact is of its object, and near enough. */
const IS_IN_TIME = `
        abs(extract(epoch FROM c.occurred_at - (
          SELECT coalesce(min(occurred_at) FILTER (WHERE source = 'provider'), min(occurred_at)) FROM payment_facts
           WHERE merchant_id + 0 = $1 AND subject = p.subject AND ${KIND_OF_FACT} = c.type AND coalesce(object_ref, '#' || amount, '') = c.object_ref)))
          <= $5::int * 86400`;

const IS_ITS_FEE = `
        CASE WHEN c.type = 'payment' AND p.amount_settled = c.gross THEN coalesce(abs(c.fee - ${settledFee('p.parts')}) <= $4::bigint, true) ELSE true END`;

/**
 * SQL of what most rows are: a capture or refund, the only row of the chunk with its reference, of the one payment of that reference, which has
 * just that item, of just that amount and in time, and of which nothing is known but what the ledger has. By the rules such a row is `exact`, and nothing else is
 * said of it: so they are matched in one pass, for a third of what deciding costs the `rest`, to which belong all whose payment another row
 * names by an object: one of the chunk, or one beside it that has an open break.
 */
export const ORDINARY_ROWS = `
payments_named AS MATERIALIZED (
  SELECT p.id, p.subject, p.provider_ref, p.currency, p.amount_settled, p.parts FROM payments p
   WHERE p.merchant_id + 0 = $1 AND p.provider_ref = ANY (ARRAY(SELECT reference FROM chunk WHERE type IN ${PAYMENT_ROWS})) AND ${OF_PROVIDER}
), strangers AS MATERIALIZED (
  SELECT name, object_ref FROM chunk WHERE reference IS NULL OR reference NOT IN (SELECT provider_ref FROM payments_named)
), payments_shared AS MATERIALIZED (
  SELECT subject FROM payment_facts
   WHERE merchant_id + 0 = $1 AND type <> 'settled'
     AND object_ref = ANY (ARRAY(
       SELECT object_ref FROM strangers
       UNION ALL
       SELECT b.object_ref FROM (SELECT DISTINCT name FROM strangers) s
        CROSS JOIN LATERAL (SELECT object_ref FROM breaks WHERE merchant_id = $1 AND row_source = $2 AND ${NAME_OF_BREAK} = s.name AND ${IS_OF_ROW} OFFSET 0) b))
), ordinary AS MATERIALIZED (
  SELECT c.*, ${ITEM} AS item
    FROM chunk c JOIN payments_named p ON p.provider_ref = c.reference
   WHERE c.type IN ('payment', 'refund') AND c.currency = p.currency
     AND c.name NOT IN (SELECT name FROM chunk GROUP BY name HAVING count(*) > 1)
     AND c.identity NOT IN (SELECT identity FROM chunk GROUP BY identity HAVING count(*) > 1)
     AND c.reference NOT IN (SELECT provider_ref FROM payments_named GROUP BY provider_ref HAVING count(*) > 1)
     AND p.subject NOT IN (SELECT subject FROM payments_shared)
     AND ${hasMovement('p.parts', { kind: 'c.type', objectRef: 'c.object_ref', amount: 'c.gross' })}
     AND ${IS_NEW}
     AND ${IS_IN_TIME}
     AND ${IS_ITS_FEE}
), rest AS MATERIALIZED (
  SELECT * FROM chunk WHERE line NOT IN (SELECT line FROM ordinary)
)`;

/** Where each row is decided by all rules. */
export const NONE_ORDINARY = `
ordinary AS (
  SELECT c.*, NULL AS item FROM chunk c WHERE false
), rest AS (
  SELECT * FROM chunk
)`;
