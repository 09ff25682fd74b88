import type { Deadline } from '#platform/deadline.js';
import type { Database, SearchBounds } from '#platform/postgres.js';
import { conditions, type Found, type Search } from '#platform/search.js';

/** What a merchant is owed for a business day in a currency. */
export interface Settlement {
  id: bigint;
  merchantId: bigint;
  businessDate: string;
  currency: string;
  startsAtMs: number;
  endsAtMs: number;
  amounts: Record<'gross' | 'refunds' | 'disputes' | 'other' | 'adjustments' | 'fees' | 'net', bigint>;
  items: bigint;
  transactionId: bigint | null;
  postedAtMs: number;
}

/** An entry that was settled. */
export interface SettlementLine {
  kind: 'payment' | 'refund' | 'dispute' | 'other' | 'payout';
  paymentId: bigint | null;
  transactionId: bigint;
  accountVersion: bigint;
  amount: bigint;
  fee: bigint;
  feePlanId: bigint | null;
  feePlanVersion: number | null;
  effectiveAtMs: number;
  businessDate: string;
}

const COLUMNS = `id, merchant_id, to_char(business_date, 'YYYY-MM-DD') AS business_date, currency, starts_at, ends_at, gross, refunds,
  disputes, other, adjustments, fees, net, items, transaction_id, created_at`;

const GET = { name: 'get-settlement', text: `SELECT ${COLUMNS} FROM settlements WHERE merchant_id = $1 AND id = $2` };

/** $1 merchant, $2 settlement, $3 below this version, null: from the newest, $4 limit. Fees are an entry of the settlement's own. */
const LINES = {
  name: 'list-settlement-lines',
  text: `
SELECT l.kind, l.payment_id, l.transaction_id, l.account_version, l.amount, l.fee, l.fee_plan_id, l.fee_plan_version, l.effective_at,
       to_char(l.business_date, 'YYYY-MM-DD') AS business_date
  FROM settlements s
  JOIN settlement_lines l ON l.merchant_id = s.merchant_id AND l.account_id = s.account_id AND l.settlement_id = s.id
                         AND l.account_version BETWEEN s.first_version AND s.last_version
 WHERE s.merchant_id = $1 AND s.id = $2 AND l.kind <> 'fees' AND ($3::bigint IS NULL OR l.account_version < $3)
 ORDER BY l.account_version DESC LIMIT $4`,
};

interface SettlementRow extends Record<string, unknown> {
  id: bigint;
  merchant_id: bigint;
  business_date: string;
  currency: string;
  starts_at: number;
  ends_at: number;
  gross: bigint;
  refunds: bigint;
  disputes: bigint;
  other: bigint;
  adjustments: bigint;
  fees: bigint;
  net: bigint;
  items: bigint;
  transaction_id: bigint | null;
  created_at: number;
}

interface LineRow extends Record<string, unknown> {
  kind: SettlementLine['kind'];
  payment_id: bigint | null;
  transaction_id: bigint;
  account_version: bigint;
  amount: bigint;
  fee: bigint;
  fee_plan_id: bigint | null;
  fee_plan_version: number | null;
  effective_at: number;
  business_date: string;
}

export interface SettlementPage {
  before: bigint | undefined;
  limit: number;
  businessDate: string | undefined;
  currency: string | undefined;
}

/** Newest first. */
export async function listSettlements(
  database: Database,
  bounds: SearchBounds,
  page: SettlementPage,
): Promise<Found<Settlement>> {
  const found = await database.search(
    bounds,
    settlementSearch(bounds.merchantId, page),
    (row: SettlementRow) => row.id,
  );
  return { ...found, rows: found.rows.map(settlementOf) };
}

/** A day has an index, as it has a few settlements of all there are. */
function settlementSearch(merchantId: bigint, { before, limit, businessDate, currency }: SettlementPage): Search {
  const values: unknown[] = [merchantId];
  const within = conditions(values, [
    ['business_date =', businessDate],
    ['id <', before],
  ]);
  const walk = `SELECT * FROM settlements WHERE ${['merchant_id = $1', ...within].join(' AND ')}`;
  const tests = conditions(values, [['currency =', currency]]);
  return { columns: COLUMNS, walk, as: 's', tests, order: ['id'], values, limit };
}

export async function findSettlement(
  database: Database,
  merchantId: bigint,
  id: bigint,
  deadline: Deadline,
): Promise<Settlement | undefined> {
  const query = { ...GET, values: [merchantId, id] };
  const [row] = await database.read<SettlementRow>({ merchantIds: [merchantId] }, deadline, query);
  return row && settlementOf(row);
}

/** Newest first. */
export async function listLines(
  database: Database,
  merchantId: bigint,
  page: { settlementId: bigint; beforeVersion: bigint | undefined; limit: number },
  deadline: Deadline,
): Promise<SettlementLine[]> {
  const query = { ...LINES, values: [merchantId, page.settlementId, page.beforeVersion ?? null, page.limit] };
  const rows = await database.read<LineRow>({ merchantIds: [merchantId] }, deadline, query);
  return rows.map((row) => ({
    kind: row.kind,
    paymentId: row.payment_id,
    transactionId: row.transaction_id,
    accountVersion: row.account_version,
    amount: row.amount,
    fee: row.fee,
    feePlanId: row.fee_plan_id,
    feePlanVersion: row.fee_plan_version,
    effectiveAtMs: row.effective_at,
    businessDate: row.business_date,
  }));
}

function settlementOf(row: SettlementRow): Settlement {
  const { gross, refunds, disputes, other, adjustments, fees, net } = row;
  return {
    id: row.id,
    merchantId: row.merchant_id,
    businessDate: row.business_date,
    currency: row.currency,
    startsAtMs: row.starts_at,
    endsAtMs: row.ends_at,
    amounts: { gross, refunds, disputes, other, adjustments, fees, net },
    items: row.items,
    transactionId: row.transaction_id,
    postedAtMs: row.created_at,
  };
}
