import type { Check } from '#platform/verify.js';
import { ADJUSTMENT_TYPE } from './breaks/adjustment-type.js';

/** What is to be posted or was: `<account> <direction> <amount>` of each entry, in the order of these texts. */
const PROPOSED = `(
  SELECT string_agg(e, ', ' ORDER BY e)
    FROM (SELECT format('%s %s %s', p ->> 'account_id', p ->> 'direction', p ->> 'amount') AS e
            FROM json_array_elements(b.resolution -> 'proposal' -> 'entries') p) l)`;
const POSTED = `(
  SELECT string_agg(x, ', ' ORDER BY x)
    FROM (SELECT format('%s %s %s', e.account_id, CASE e.direction WHEN 1 THEN 'debit' ELSE 'credit' END, e.posted_amount) AS x
            FROM generate_series(1, cardinality(t.legs), 2) AS leg
            JOIN entries e ON e.merchant_id = $1 AND e.account_id = t.legs[leg] AND e.account_version = t.legs[leg + 1]) l)`;

/** Breaks that ended with an entry, by what they say; transactions that ended breaks, by what these say. */
const ENDED_BY_POSTING = `
SELECT b.id, b.resolution ->> 'transaction_id' AS transaction_id, ${PROPOSED} AS entries FROM breaks b
 WHERE b.merchant_id = $1 AND (b.resolution ->> 'transaction_id' IS NOT NULL OR b.status = 'resolved' AND b.resolution -> 'proposal' ->> 'action' = 'post')`;
const ENDING = `
SELECT t.id, t.metadata ->> 'break_id' AS break_id, ${POSTED} AS entries FROM transactions t
 WHERE t.merchant_id = $1 AND t.type = '${ADJUSTMENT_TYPE}' AND t.metadata ->> 'break_id' IS NOT NULL`;

/** Of a report that was forgotten the items stay, and no row. */
const IS_KEPT = `EXISTS (SELECT FROM reconciliations k WHERE k.merchant_id = $1 AND k.id = i.match_reconciliation_id AND k.forgotten_at IS NULL)`;

/** Whoever told these rows, told them of something that the ledger has. */
const OF_ITEMS = `('exact', 'tolerance', 'pairs', 'sum', 'by hand')`;

export const RECONCILIATION_CHECKS: readonly Check[] = [
  {
    name: 'every break that was resolved by posting has its transaction, with the entries that were approved, and no other has one',
    count: `SELECT count(*) FROM breaks WHERE merchant_id = $1`,
    find: `
SELECT CASE WHEN t.id IS NULL THEN format('break %s: transaction %s is none of it', b.id, coalesce(b.transaction_id, 'none'))
            WHEN b.id IS NULL THEN format('transaction %s: break %s does not know it', t.id, t.break_id)
            ELSE format('break %s: transaction %s posts %s; %s was approved', b.id, t.id, t.entries, coalesce(b.entries, 'nothing')) END
  FROM (${ENDED_BY_POSTING}) b FULL JOIN (${ENDING}) t ON t.id::text = b.transaction_id AND t.break_id = b.id::text
 WHERE b.id IS NULL OR t.id IS NULL OR b.entries IS DISTINCT FROM t.entries LIMIT $2`,
  },
  {
    name: 'every match of rows and items has both',
    count: 'SELECT count(*) FROM report_rows WHERE merchant_id = $1 AND match_line IS NOT NULL',
    find: `
SELECT CASE WHEN i.item IS NULL THEN format('line %s of report %s is matched by %s, and nothing with it', r.line, r.reconciliation_id, r.rule)
            ELSE format('%s is matched with line %s of report %s, which is in no such match', i.item, i.match_line, i.match_reconciliation_id) END
  FROM (SELECT * FROM report_rows WHERE merchant_id = $1 AND rule IN ${OF_ITEMS}) r
  FULL JOIN (SELECT * FROM reconciled_items WHERE merchant_id = $1) i USING (match_reconciliation_id, match_line)
 WHERE i.item IS NULL OR r.line IS NULL AND ${IS_KEPT} LIMIT $2`,
  },
  {
    name: 'every item of a match is named by a row that is in it',
    count: 'SELECT count(*) FROM reconciled_items WHERE merchant_id = $1',
    find: `
SELECT format('%s: its match is named by line %s of report %s, which is not in it', i.item, i.match_line, i.match_reconciliation_id)
  FROM reconciled_items i
 WHERE i.merchant_id = $1 AND ${IS_KEPT} AND NOT EXISTS (
         SELECT FROM report_rows r
          WHERE r.merchant_id = $1 AND r.reconciliation_id = i.match_reconciliation_id AND r.line = i.match_line
            AND (r.match_reconciliation_id, r.match_line) = (i.match_reconciliation_id, i.match_line)) LIMIT $2`,
  },
];
