import type { Deadline } from '#platform/deadline.js';
import type { Database, SearchBounds } from '#platform/postgres.js';
import { conditions, type Found, type Search } from '#platform/search.js';
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
  bounds: SearchBounds,
  page: PayoutPage,
): Promise<Found<PayoutRow>> {
  const search = payoutSearch(bounds.merchantId, page);
  const found = await database.search(bounds, search, (row: { id: bigint; payout: string }) => row.id);
  return { ...found, rows: found.rows.map(({ payout }) => JSON.parse(payout)) };
}

function payoutSearch(merchantId: bigint, { filter, beforeId, limit }: PayoutPage): Search {
  const values: unknown[] = [merchantId];
  const within = conditions(values, [['id <', beforeId]]);
  const walk = `SELECT * FROM payouts WHERE ${['merchant_id = $1', ...within].join(' AND ')}`;
  const tests = conditions(values, [
    ['status =', filter.status],
    ['currency =', filter.currency],
  ]);
  return { columns: `p.id, ${PAYOUT_JSON} AS payout`, walk, as: 'p', tests, order: ['id'], values, limit };
}
