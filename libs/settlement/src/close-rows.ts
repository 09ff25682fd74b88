import { insertPayableItems, type PayableItem } from '#ledger/accounts/payable-items.js';
import type { SqlValue } from '#ledger/writing/group-extension.js';
import { laterZones } from './standings.js';

/** What closing a day reads and writes, as JSON has it: int8 as text. */

export interface DraftRow {
  readonly currency: string;
  readonly settlement_id: string;
  readonly account_id: string;
  readonly business_date: string;
  readonly starts_at: string;
  readonly ends_at: string;
  readonly drafted_through: string;
  readonly looked_through: string;
  readonly gross: string;
  readonly refunds: string;
  readonly disputes: string;
  readonly other: string;
  readonly adjustments: string;
  readonly fees: string;
  readonly items: string;
  readonly first_version: string | null;
  readonly last_version: string | null;
  readonly first_left: string | null;
}

const DRAFT_COLUMNS = [
  'settlement_id',
  'account_id',
  'drafted_through',
  'looked_through',
  'gross',
  'refunds',
  'disputes',
  'other',
  'adjustments',
  'fees',
  'items',
  'first_version',
  'last_version',
  'first_left',
];

/**
 * $1 merchants. Draft rows are locked where nobody else has: who is still at work on one, or is about to find that there is nothing
 * left to do, is not waited for in a commit group.
 */
export const LOOK_UP_DAY = `
SELECT k.merchant_id, p.business_date, d.drafts, d.locked = n.drafts AS is_free, ${laterZones('k.merchant_id')} AS later_zones
  FROM unnest($1::bigint[]) AS k (merchant_id)
  LEFT JOIN LATERAL (SELECT to_char(business_date, 'YYYY-MM-DD') AS business_date FROM settlement_positions
                      WHERE merchant_id = k.merchant_id LIMIT 1) p ON true
  CROSS JOIN LATERAL (SELECT count(*) AS drafts FROM settlement_drafts WHERE merchant_id = k.merchant_id) n
  CROSS JOIN LATERAL (
    SELECT count(*) AS locked, json_agg(json_build_object(
             'currency', l.currency, 'business_date', to_char(l.business_date, 'YYYY-MM-DD'), 'starts_at', l.starts_at, 'ends_at', l.ends_at,
             ${DRAFT_COLUMNS.map((column) => `'${column}', l.${column}::text`).join(', ')}) ORDER BY l.currency) AS drafts
      FROM (SELECT * FROM settlement_drafts WHERE merchant_id = k.merchant_id FOR UPDATE SKIP LOCKED) l) d`;

export interface SettlementRow {
  readonly merchant_id: string;
  readonly id: string;
  readonly business_date: string;
  readonly currency: string;
  readonly account_id: string;
  readonly starts_at: string;
  readonly ends_at: string;
  readonly gross: string;
  readonly refunds: string;
  readonly disputes: string;
  readonly other: string;
  readonly adjustments: string;
  readonly fees: string;
  readonly net: string;
  readonly items: string;
  readonly transaction_id: string | null;
  readonly looked_through: string;
  readonly first_version: string;
  readonly last_version: string;
}

export interface LineRow {
  readonly merchant_id: string;
  readonly account_id: string;
  readonly account_version: string;
  readonly settlement_id: string;
  readonly kind: 'fees';
  readonly transaction_id: string;
  readonly amount: string;
  readonly fee: string;
  readonly effective_at: string;
  readonly business_date: string;
}

export interface PositionRow {
  readonly merchant_id: string;
  readonly first_date: string;
  readonly business_date: string;
  readonly ended_at: string;
}

export interface SettledRow {
  readonly merchant_id: string;
  readonly currency: string;
  /** More than before. */
  readonly settled: string;
  readonly looked_through: string;
  readonly taken_through: string;
}

/** One row of one of the tables. */
export type CloseWrite =
  | { readonly settlement: SettlementRow }
  | { readonly line: LineRow; readonly item: PayableItem }
  | { readonly position: PositionRow }
  /** With its draft, which goes. */
  | { readonly settled: SettledRow };

const SETTLEMENT_COLUMNS = `merchant_id, id, business_date, currency, account_id, starts_at, ends_at, gross, refunds, disputes, other, adjustments,
  fees, net, items, transaction_id, looked_through, first_version, last_version`;
const LINE_COLUMNS = `merchant_id, account_id, account_version, settlement_id, kind, transaction_id, amount, fee, effective_at, business_date`;

/** $1 settlements, $2 lines of fees, $3 what these are, $4 positions, $5 sums and their drafts. Drafts are locked, so that they lie where they were found. */
const WRITE_DAY = `
WITH settled AS (
  INSERT INTO settlements (${SETTLEMENT_COLUMNS}) SELECT ${SETTLEMENT_COLUMNS} FROM json_populate_recordset(NULL::settlements, $1::json)
), lines AS (
  INSERT INTO settlement_lines (${LINE_COLUMNS}) SELECT ${LINE_COLUMNS} FROM json_populate_recordset(NULL::settlement_lines, $2::json)
), items AS (${insertPayableItems(3)}
), positions AS (
  INSERT INTO settlement_positions (merchant_id, first_date, business_date, ended_at)
  SELECT merchant_id, first_date, business_date, ended_at FROM json_populate_recordset(NULL::settlement_positions, $4::json)
  ON CONFLICT (merchant_id) DO UPDATE SET business_date = excluded.business_date, ended_at = excluded.ended_at
), sums AS (
  INSERT INTO settled_balances AS b (merchant_id, currency, settled, looked_through, taken_through)
  SELECT merchant_id, currency, settled, looked_through, taken_through FROM json_populate_recordset(NULL::settled_balances, $5::json)
  ON CONFLICT (merchant_id, currency) DO UPDATE
    SET settled = b.settled + excluded.settled, looked_through = excluded.looked_through, taken_through = excluded.taken_through
)
DELETE FROM settlement_drafts WHERE ctid = ANY (ARRAY(
  SELECT d.ctid FROM json_populate_recordset(NULL::settled_balances, $5::json) AS k
   CROSS JOIN LATERAL (SELECT ctid FROM settlement_drafts WHERE merchant_id = k.merchant_id AND currency = k.currency OFFSET 0) d))`;

export const WRITE = {
  text: WRITE_DAY,
  values: (writes: readonly CloseWrite[]): SqlValue[] =>
    [
      writes.flatMap((write) => ('settlement' in write ? [write.settlement] : [])),
      writes.flatMap((write) => ('line' in write ? [write.line] : [])),
      writes.flatMap((write) => ('item' in write ? [write.item] : [])),
      writes.flatMap((write) => ('position' in write ? [write.position] : [])),
      writes.flatMap((write) => ('settled' in write ? [write.settled] : [])),
    ].map((rows) => JSON.stringify(rows)),
};
