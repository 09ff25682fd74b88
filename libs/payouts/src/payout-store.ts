import type { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import { PAYOUT_JSON, type PayoutRow } from './payout-rows.js';
import type { StoredStatus } from './status.js';

/** Reads of payouts. Not prepared: each is planned for what there is. */

export async function findPayout(
  database: Database,
  merchantId: bigint,
  id: bigint,
  deadline: Deadline,
): Promise<PayoutRow | undefined> {
  const [row] = await database.read<{ payout: string }>({ merchantIds: [merchantId] }, deadline, {
    text: `SELECT ${PAYOUT_JSON} AS payout FROM payouts p WHERE p.merchant_id = $1 AND p.id = $2`,
    values: [merchantId, id],
  });
  return row && JSON.parse(row.payout);
}

export interface PayoutPage {
  readonly filter: { readonly status?: StoredStatus | undefined; readonly currency?: string | undefined };
  readonly beforeId: bigint | undefined;
  readonly limit: number;
}

/** Newest first, below `beforeId`. */
export async function listPayouts(
  database: Database,
  merchantId: bigint,
  { filter: { status, currency }, beforeId, limit }: PayoutPage,
  deadline: Deadline,
): Promise<PayoutRow[]> {
  const rows = await database.read<{ payout: string }>({ merchantIds: [merchantId] }, deadline, {
    text: `SELECT ${PAYOUT_JSON} AS payout FROM payouts p
            WHERE p.merchant_id = $1 AND ($2::text IS NULL OR p.status = $2) AND ($3::text IS NULL OR p.currency = $3)
              AND ($4::bigint IS NULL OR p.id < $4) ORDER BY p.id DESC LIMIT $5`,
    values: [merchantId, status ?? null, currency ?? null, beforeId ?? null, limit],
  });
  return rows.map(({ payout }) => JSON.parse(payout));
}
