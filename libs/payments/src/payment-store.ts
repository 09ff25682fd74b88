import { firstSnowflakeAt } from '#kernel/snowflake.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database, SearchBounds } from '#platform/postgres.js';
import { conditions, type Found, type Search } from '#platform/search.js';
import { FACT_JSON, type FactRow, PAYMENT_JSON, type PaymentRow } from './payment-rows.js';
import type { PaymentStatus } from './position.js';

/** Reads of payments. Not prepared: each is planned for what there is, and takes its own index. */

/** What of a payment never changes, or hardly ever: in what currency it is. */
export interface PaymentKey {
  readonly subject: string;
  readonly currency: string;
}

export async function findPayment(
  database: Database,
  merchantId: bigint,
  id: bigint,
  deadline: Deadline,
): Promise<PaymentKey | undefined> {
  const [row] = await database.read<{ subject: string; currency: string }>({ merchantIds: [merchantId] }, deadline, {
    text: 'SELECT subject, currency FROM payments WHERE merchant_id = $1 AND id = $2',
    values: [merchantId, id],
  });
  return row;
}

const GET_PAYMENT = `
SELECT ${PAYMENT_JSON} AS payment,
       (SELECT json_agg(${FACT_JSON}) FROM payment_facts f WHERE f.merchant_id = p.merchant_id AND f.subject = p.subject) AS facts
  FROM payments p WHERE p.merchant_id = $1 AND p.id = $2`;

export async function getPayment(
  database: Database,
  merchantId: bigint,
  id: bigint,
  deadline: Deadline,
): Promise<{ row: PaymentRow; facts: FactRow[] } | undefined> {
  const [found] = await database.read<{ payment: string; facts: string }>({ merchantIds: [merchantId] }, deadline, {
    text: GET_PAYMENT,
    values: [merchantId, id],
  });
  return found && { row: JSON.parse(found.payment), facts: JSON.parse(found.facts) };
}

export interface PaymentFilter {
  readonly status?: PaymentStatus | undefined;
  readonly provider?: string | undefined;
  readonly providerRef?: string | undefined;
  readonly createdFromMs?: number | undefined;
  readonly createdToMs?: number | undefined;
}

export interface PaymentPage {
  readonly filter: PaymentFilter;
  readonly beforeId: bigint | undefined;
  readonly limit: number;
}

/** Newest first, below `beforeId`. */
export async function listPayments(
  database: Database,
  bounds: SearchBounds,
  page: PaymentPage,
): Promise<Found<PaymentRow>> {
  const search = paymentSearch(bounds.merchantId, page);
  const found = await database.search(bounds, search, (row: { id: bigint; payment: string }) => row.id);
  return { ...found, rows: found.rows.map(({ payment }) => JSON.parse(payment)) };
}

/** Walked by the index of one of its filters, the narrowest; the others are tested. */
function paymentSearch(merchantId: bigint, { filter, beforeId, limit }: PaymentPage): Search {
  const values: unknown[] = [merchantId];
  const [narrowest = 'true', ...tests] = conditions(values, [
    ['provider_ref =', filter.providerRef],
    ['status =', filter.status],
    ['provider =', filter.provider],
  ]);
  const { createdFromMs, createdToMs } = filter;
  const within = conditions(values, [
    ['id >=', createdFromMs === undefined ? undefined : firstSnowflakeAt(createdFromMs)],
    ['id <', createdToMs === undefined ? undefined : firstSnowflakeAt(createdToMs)],
    ['id <', beforeId],
  ]);
  const walk = `SELECT * FROM payments WHERE ${['merchant_id = $1', narrowest, ...within].join(' AND ')}`;
  return { columns: `p.id, ${PAYMENT_JSON} AS payment`, walk, as: 'p', tests, order: ['id'], values, limit };
}
