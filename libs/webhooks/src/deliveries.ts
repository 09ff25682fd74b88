import { notFound } from '#kernel/problem.js';
import { positionText } from '#outbox/log/position.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database, TransactionClient } from '#platform/postgres.js';
import type { EndpointStatus } from './endpoint-store.js';

/** Deliveries as a merchant sees them, and may have them sent again. What is sent is the sender's (`delivery-store.ts`). */

/** `delivered` and `failed` tell the last attempt; what is `due` is sent when its turn comes. */
export type DeliveryStatus = 'due' | 'delivered' | 'failed';

export interface WebhookDelivery {
  id: bigint;
  endpointId: bigint;
  /** What its receiver gets as `webhook-id`, each time: the event's id in the log. */
  messageId: string;
  eventType: string;
  status: DeliveryStatus;
  /** Requests sent so far. */
  attempts: number;
  /** Not before then; null unless due. */
  nextAttemptAtMs: number | null;
  /** Of the last success. */
  deliveredAtMs: number | null;
  /** The newest ones, newest first. */
  log: WebhookAttempt[];
}

export interface WebhookAttempt {
  attempt: number;
  atMs: number;
  statusCode: number | null;
  /** A code, such as `headers_timeout`; null when there was an answer. */
  error: string | null;
  durationMs: number;
  /** Beginning of the answer's body. */
  response: string | null;
}

/** Attempts that a delivery is shown with. */
const ATTEMPTS_SHOWN = 20;

/** $2 endpoint, $3 delivery or null, $4 deliveries older than this one or null, $5 limit. */
const SELECT_DELIVERIES = `
SELECT d.endpoint_id, d.id, d.event_xid, d.event_seq, d.event_type, d.status, d.attempts,
       CASE d.status WHEN 'due' THEN d.next_attempt_at END AS next_attempt_at, d.delivered_at,
       coalesce((SELECT json_agg(json_build_object('attempt', a.attempt, 'atMs', extract(epoch FROM a.at) * 1000,
                                                   'statusCode', a.status_code, 'error', a.error,
                                                   'durationMs', a.duration_ms, 'response', a.response)
                                 ORDER BY a.attempt DESC)
                   FROM (SELECT * FROM webhook_attempts a WHERE a.merchant_id = $1 AND a.delivery_id = d.id
                          ORDER BY a.attempt DESC LIMIT ${ATTEMPTS_SHOWN}) a), '[]') AS log
  FROM webhook_deliveries d
 WHERE d.merchant_id = $1 AND d.endpoint_id = $2
   AND ($3::bigint IS NULL OR d.id = $3) AND ($4::bigint IS NULL OR d.id < $4)
 ORDER BY d.id DESC LIMIT $5`;

/** The primary key leads with the endpoint: a merchant has few, and each is one probe. */
const FIND_DELIVERY = `
SELECT e.id, e.status FROM webhook_endpoints e
  JOIN LATERAL (SELECT 1 FROM webhook_deliveries d WHERE d.merchant_id = $1 AND d.endpoint_id = e.id AND d.id = $2 LIMIT 1) d ON true
 WHERE e.merchant_id = $1 AND e.status <> 'deleted' FOR NO KEY UPDATE OF e`;

/** One that is still in the line stays there and is tried at once; any other is sent once more, before the line. */
const REDELIVER = `
UPDATE webhook_deliveries SET redelivery = redelivery OR status <> 'due', status = 'due', next_attempt_at = now()
 WHERE merchant_id = $1 AND endpoint_id = $2 AND id = $3`;

/** The endpoint of a delivery, locked; undefined when there is no such delivery. */
export async function endpointOfDelivery(
  client: TransactionClient,
  merchantId: bigint,
  deliveryId: bigint,
): Promise<{ id: bigint; status: EndpointStatus } | undefined> {
  const query = { text: FIND_DELIVERY, values: [merchantId, deliveryId] };
  const { rows } = await client.query<{ id: bigint; status: EndpointStatus }>(query);
  return rows[0];
}

export async function makeDueAgain(
  client: TransactionClient,
  merchantId: bigint,
  endpointId: bigint,
  id: bigint,
): Promise<void> {
  await client.query({ text: REDELIVER, values: [merchantId, endpointId, id] });
}

interface DeliveryRow extends Record<string, unknown> {
  endpoint_id: bigint;
  id: bigint;
  event_xid: bigint;
  event_seq: bigint;
  event_type: string;
  status: DeliveryStatus;
  attempts: number;
  next_attempt_at: number | null;
  delivered_at: number | null;
  log: string;
}

/** An endpoint's deliveries, newest first. */
export async function listDeliveries(
  database: Database,
  merchantId: bigint,
  page: { endpointId: bigint; before: bigint | undefined; limit: number },
  deadline: Deadline,
): Promise<WebhookDelivery[]> {
  const values = [merchantId, page.endpointId, null, page.before ?? null, page.limit];
  const query = { text: SELECT_DELIVERIES, values };
  return (await database.read<DeliveryRow>({ merchantIds: [merchantId] }, deadline, query)).map(deliveryOf);
}

/** One delivery, as the transaction sees it. Throws `not_found`. */
export async function findDelivery(
  client: TransactionClient,
  merchantId: bigint,
  endpointId: bigint,
  id: bigint,
): Promise<WebhookDelivery> {
  const query = { text: SELECT_DELIVERIES, values: [merchantId, endpointId, id, null, 1] };
  const [row] = (await client.query<DeliveryRow>(query)).rows;
  if (!row) throw notFound('webhook delivery');
  return deliveryOf(row);
}

function deliveryOf(row: DeliveryRow): WebhookDelivery {
  return {
    id: row.id,
    endpointId: row.endpoint_id,
    messageId: positionText({ xid: row.event_xid, seq: row.event_seq }),
    eventType: row.event_type,
    status: row.status,
    attempts: row.attempts,
    nextAttemptAtMs: row.next_attempt_at,
    deliveredAtMs: row.delivered_at,
    log: JSON.parse(row.log) as WebhookAttempt[],
  };
}
