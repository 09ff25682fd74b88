import type { SnowflakeGenerator } from '#kernel/snowflake.js';
import type { Consumer, LoggedEvent } from '#outbox/consumer.js';
import { int8Array, textArray } from '#platform/binary-array.js';
import type { TransactionClient } from '#platform/postgres.js';

const ENABLED_ENDPOINTS = {
  name: 'webhooks-enabled-endpoints',
  text: `SELECT merchant_id, id, event_types, since_xid::text AS since_xid FROM webhook_endpoints
          WHERE merchant_id = ANY ($1::bigint[]) AND status = 'enabled'`,
};
/** An event that an endpoint has, or has had, is not delivered again. */
const INSERT_DELIVERIES = {
  name: 'webhooks-insert-deliveries',
  text: `INSERT INTO webhook_deliveries (merchant_id, endpoint_id, id, event_xid, event_seq, event_type)
         SELECT merchant_id, endpoint_id, id, event_xid::text::xid8, event_seq, event_type
           FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[])
             AS d (merchant_id, endpoint_id, id, event_xid, event_seq, event_type)
         ON CONFLICT (merchant_id, endpoint_id, event_xid, event_seq) DO NOTHING`,
};

interface EnabledEndpoint extends Record<string, unknown> {
  merchant_id: bigint;
  id: bigint;
  event_types: string[] | null;
  since_xid: string;
}

/** Turns events into deliveries that are due, one for each endpoint that asked for them. Sending is the sender's. */
export class WebhookFanOut implements Consumer {
  readonly name = 'webhooks';
  /** Receivers are promised the order of their merchant's events. */
  readonly parks = 'stream';
  readonly #ids: SnowflakeGenerator;

  constructor(ids: SnowflakeGenerator) {
    this.#ids = ids;
  }

  async apply(client: TransactionClient, events: readonly LoggedEvent[]): Promise<void> {
    const merchantIds = [...new Set(events.map(({ merchantId }) => merchantId))];
    const { rows } = await client.query<EnabledEndpoint>({ ...ENABLED_ENDPOINTS, values: [int8Array(merchantIds)] });
    if (rows.length === 0) return;
    const endpoints = Map.groupBy(rows, (row) => row.merchant_id);
    const due = events.flatMap((event) =>
      (endpoints.get(event.merchantId) ?? [])
        .filter((endpoint) => isFor(endpoint, event))
        .map((endpoint) => ({ event, endpointId: endpoint.id, id: this.#ids.next() })),
    );
    if (due.length === 0) return;
    await client.query({
      ...INSERT_DELIVERIES,
      values: [
        int8Array(due.map(({ event }) => event.merchantId)),
        int8Array(due.map(({ endpointId }) => endpointId)),
        int8Array(due.map(({ id }) => id)),
        int8Array(due.map(({ event }) => event.xid)),
        int8Array(due.map(({ event }) => event.seq)),
        textArray(due.map(({ event }) => event.type)),
      ],
    });
  }
}

/** Whoever created or enabled the endpoint had not seen the answer of a change that began before. */
function isFor({ event_types: types, since_xid: sinceXid }: EnabledEndpoint, event: LoggedEvent): boolean {
  return event.xid > BigInt(sinceXid) && (types === null || types.includes(event.type));
}
