import type { Consumer, Leaves, LoggedEvent } from '#outbox/consumers/consumer.js';
import { int8Array, textArray } from '#platform/binary-array.js';
import type { TransactionClient } from '#platform/postgres.js';

/**
 * Events as arrays: $1 merchants, $2 xids, $3 seqs, $4 types. One delivery for each enabled endpoint that asked for the type
 * and was there when the change began: whoever created or enabled it had not seen the answer of an earlier one. An event
 * that an endpoint has, or has had, is not delivered again. Returns the merchants that have got some.
 */
const FAN_OUT = {
  name: 'webhooks-fan-out',
  text: `
WITH due AS (
INSERT INTO webhook_deliveries (merchant_id, endpoint_id, id, event_xid, event_seq, event_type)
SELECT v.merchant_id, e.id, webhook_delivery_id(), v.xid, v.seq, v.type
  FROM unnest($1::bigint[], $2::xid8[], $3::bigint[], $4::text[]) WITH ORDINALITY AS v (merchant_id, xid, seq, type, position)
  JOIN webhook_endpoints e ON e.merchant_id = v.merchant_id AND e.status = 'enabled' AND v.xid > e.since_xid
   AND (e.event_types IS NULL OR v.type = ANY (e.event_types))
 ORDER BY v.position
    ON CONFLICT (merchant_id, endpoint_id, event_xid, event_seq) DO NOTHING
RETURNING merchant_id)
SELECT DISTINCT merchant_id FROM due`,
};

/** Turns events into deliveries that are due. Sending is the sender's. */
export class WebhookFanOut implements Consumer {
  static readonly NAME = 'webhooks';
  readonly name = WebhookFanOut.NAME;
  /** Receivers may be promised the order of their merchant's events. */
  readonly failureScope = 'stream';

  async apply(client: TransactionClient, events: readonly LoggedEvent[], leaves: Leaves): Promise<void> {
    const values = [
      int8Array(events.map(({ merchantId }) => merchantId)),
      events.map(({ xid }) => xid),
      int8Array(events.map(({ seq }) => seq)),
      textArray(events.map(({ type }) => type)),
    ];
    const { rows } = await client.query<{ merchant_id: bigint }>({ ...FAN_OUT, values });
    leaves(rows.map(({ merchant_id }) => merchant_id));
  }
}
