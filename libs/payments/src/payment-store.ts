import { firstSnowflakeAt } from '#kernel/snowflake.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database, SearchBounds } from '#platform/postgres.js';
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

/** Newest first, below `beforeId`. */
export async function listPayments(
  database: Database,
  bounds: SearchBounds,
  { filter, beforeId, limit }: { filter: PaymentFilter; beforeId: bigint | undefined; limit: number },
): Promise<PaymentRow[]> {
  const values: unknown[] = [bounds.merchantId];
  const where = ['p.merchant_id = $1'];
  const also = (condition: string, value: unknown): void => {
    if (value === undefined) return;
    values.push(value);
    where.push(`${condition} $${values.length}`);
  };
  const { createdFromMs, createdToMs } = filter;
  also('p.status =', filter.status);
  also('p.provider =', filter.provider);
  also('p.provider_ref =', filter.providerRef);
  also('p.id >=', createdFromMs === undefined ? undefined : firstSnowflakeAt(createdFromMs));
  also('p.id <', createdToMs === undefined ? undefined : firstSnowflakeAt(createdToMs));
  also('p.id <', beforeId);
  values.push(limit);
  const text = `SELECT ${PAYMENT_JSON} AS payment FROM payments p WHERE ${where.join(' AND ')} ORDER BY p.id DESC LIMIT $${values.length}`;
  const tests = [filter.status, filter.provider, filter.providerRef];
  const rows = await database.search<{ payment: string }>(bounds, { text, values }, { tests });
  return rows.map(({ payment }) => JSON.parse(payment));
}
