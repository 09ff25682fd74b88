import type { Span } from '@opentelemetry/api';
import { MerchantLog, type NewEvent } from '#outbox/log/append.js';
import { int4Array, int8Array } from '#platform/binary-array.js';
import { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import type { DisabledReason, Ordering } from './endpoint-store.js';

/** Bounds one statement of the sender. */
const STATEMENT_DEADLINE_MS = 5_000;

/**
 * What an endpoint is sent next. In order: the head of its line, behind which the others wait, also while it backs off. Without
 * order: what is due first.
 */
const HEAD = `
            (SELECT next_attempt_at FROM webhook_deliveries
              WHERE e.ordering = 'strict' AND merchant_id = e.merchant_id AND endpoint_id = e.id AND status = 'due'
              ORDER BY redelivery DESC, event_xid, event_seq LIMIT 1)
            UNION ALL
            (SELECT next_attempt_at FROM webhook_deliveries
              WHERE e.ordering = 'none' AND merchant_id = e.merchant_id AND endpoint_id = e.id AND status = 'due'
              ORDER BY redelivery DESC, next_attempt_at, id LIMIT 1)`;
/** Whether a sender may take an endpoint: asked again of the row when it is locked. */
const FREE = `e.status = 'enabled' AND e.lease_expires_at <= now()`;
const KEYS = `
          ARRAY(SELECT key FROM webhook_secrets s
                 WHERE s.merchant_id = e.merchant_id AND s.endpoint_id = e.id
                   AND (s.expires_at IS NULL OR s.expires_at > now())
                 ORDER BY s.expires_at DESC NULLS FIRST) AS keys`;

/**
 * $1 merchants, $2 lease in milliseconds, $3 limit, $4 what each merchant has in hand, $5 how many it may have. Takes endpoints that
 * have something due and that no sender holds; those that another one is just taking are passed over. Merchants go in turn, who
 * has least in hand first, and of each the endpoints that were served longest ago.
 */
export const CLAIM = {
  name: 'webhooks-claim',
  text: `
UPDATE webhook_endpoints e
   SET lease_epoch = e.lease_epoch + 1, lease_expires_at = now() + $2::int * interval '1 millisecond'
  FROM (SELECT e.merchant_id, e.id
          FROM (SELECT e.merchant_id, e.id, e.lease_expires_at, head.next_attempt_at,
                       m.in_hand + row_number() OVER (PARTITION BY m.id ORDER BY e.lease_expires_at, head.next_attempt_at) AS place
                  FROM unnest($1::bigint[], $4::int[]) AS m (id, in_hand)
                  JOIN webhook_endpoints e ON e.merchant_id = m.id AND ${FREE}
                  CROSS JOIN LATERAL (${HEAD}) head
                 WHERE head.next_attempt_at <= now() AND m.in_hand < $5::int) turn
          JOIN webhook_endpoints e ON e.merchant_id = turn.merchant_id AND e.id = turn.id AND ${FREE}
         WHERE turn.place <= $5
         ORDER BY turn.place, turn.lease_expires_at, turn.next_attempt_at LIMIT $3
           FOR NO KEY UPDATE OF e SKIP LOCKED) due
 WHERE e.merchant_id = due.merchant_id AND e.id = due.id
RETURNING e.merchant_id, e.id, e.lease_epoch, e.url, e.ordering, ${KEYS}`,
};

/** $1 merchant, $2 endpoint, $3 epoch, $4 lease in milliseconds. Its secrets may have been rotated since the claim. */
const RENEW = {
  name: 'webhooks-renew',
  text: `
UPDATE webhook_endpoints e SET lease_expires_at = now() + $4::int * interval '1 millisecond'
 WHERE merchant_id = $1 AND id = $2 AND lease_epoch = $3 AND status = 'enabled'
RETURNING e.merchant_id, e.id, e.lease_epoch, e.url, e.ordering, ${KEYS}`,
};

/**
 * $1 merchants, $2 milliseconds to look ahead. When endpoints have something next: also what became due since the claim, or whose
 * row a claim passed over because somebody else had it locked. What is due to an endpoint under a lease is its holder's.
 */
export const DUE_TIMES = {
  name: 'webhooks-due-times',
  text: `
SELECT e.merchant_id, min(extract(epoch FROM head.next_attempt_at - now()) * 1000)::float8 AS in_ms
  FROM unnest($1::bigint[]) AS m (id)
  JOIN webhook_endpoints e ON e.merchant_id = m.id AND e.status = 'enabled'
  CROSS JOIN LATERAL (${HEAD}) head
 WHERE head.next_attempt_at <= now() + $2::bigint * interval '1 millisecond'
   AND (head.next_attempt_at > now() OR e.lease_expires_at <= now())
 GROUP BY e.merchant_id`,
};

/** data is null when the log no longer has the event. */
const DELIVERIES = `
SELECT d.id, d.event_xid, d.event_seq, d.event_type, d.redelivery, d.tries, d.next_attempt_at <= now() AS is_due,
       d.trace_context AS tried_in, e.version, e.occurred_at, e.trace_context, e.data
  FROM webhook_deliveries d
  LEFT JOIN events e ON e.merchant_id = d.merchant_id AND e.xid = d.event_xid AND e.seq = d.event_seq`;
/** $1 merchant, $2 endpoint, $3 limit. */
const LINE = {
  name: 'webhooks-line',
  text: `${DELIVERIES}
 WHERE d.merchant_id = $1 AND d.endpoint_id = $2 AND d.status = 'due'
 ORDER BY d.redelivery DESC, d.event_xid, d.event_seq LIMIT $3`,
};

/** $1 merchant, $2 endpoint, $3 limit, $4 those that are in hand. */
const DUE = {
  name: 'webhooks-due',
  text: `${DELIVERIES}
 WHERE d.merchant_id = $1 AND d.endpoint_id = $2 AND d.status = 'due' AND d.next_attempt_at <= now() AND d.id <> ALL ($4::bigint[])
 ORDER BY d.redelivery DESC, d.next_attempt_at, d.id LIMIT $3`,
};

/** Besides the delivery $4 of the endpoint $2. */
const OTHERS_DUE = `EXISTS (SELECT FROM webhook_deliveries
   WHERE merchant_id = $1 AND endpoint_id = $2 AND status = 'due' AND next_attempt_at <= now() AND id <> $4)`;

/**
 * What came of a try: $1 merchant, $2 endpoint, $3 epoch, $4 delivery, $5 outcome (delivered, failed, or lapsed: not sent),
 * $6 status of the delivery, $7 tries, $8 milliseconds until the next try or null, $9 whether it answered 410,
 * $10 disable after milliseconds of failures, $11 lease in milliseconds, $12 to $16 the attempt, $17 whether it may disable the
 * endpoint, $18 whether the lease ends where nothing else is due, $19 the attempt's trace or null. All of it only while the epoch is the caller's: no row otherwise. And
 * nothing but the reason, when the try would disable the endpoint and may not.
 */
const RECORD = {
  name: 'webhooks-record',
  text: `
WITH judged AS (
  SELECT merchant_id, id, CASE $5::text WHEN 'delivered' THEN NULL WHEN 'failed' THEN coalesce(failing_since, now()) ELSE failing_since END AS since
    FROM webhook_endpoints WHERE merchant_id = $1 AND id = $2 AND lease_epoch = $3 AND status = 'enabled' FOR NO KEY UPDATE
), reasoned AS (
  SELECT *, CASE WHEN $5 <> 'failed' THEN NULL WHEN $9::boolean THEN 'gone'
                 WHEN since <= now() - $10::bigint * interval '1 millisecond' THEN 'failing' END AS reason
    FROM judged
), held AS (
  UPDATE webhook_endpoints e
     SET lease_expires_at = now() + CASE WHEN reason IS NULL AND (NOT $18::boolean OR ${OTHERS_DUE}) THEN $11::int ELSE 0 END
                                    * interval '1 millisecond', failing_since = since,
         status = CASE WHEN reason IS NULL THEN 'enabled' ELSE 'disabled' END, disabled_reason = reason
    FROM reasoned j
   WHERE e.merchant_id = j.merchant_id AND e.id = j.id AND (reason IS NULL OR $17::boolean)
  RETURNING e.id, e.lease_expires_at <= now() AS is_released
), moved AS (
  UPDATE webhook_deliveries d
     SET status = $6, redelivery = d.redelivery AND $6 = 'due', tries = $7, attempts = d.attempts + 1,
         next_attempt_at = CASE WHEN $8::bigint IS NULL THEN d.next_attempt_at ELSE now() + $8::bigint * interval '1 millisecond' END,
         delivered_at = CASE WHEN $6 = 'delivered' THEN now() ELSE d.delivered_at END, trace_context = coalesce($19, d.trace_context)
    FROM held WHERE d.merchant_id = $1 AND d.endpoint_id = held.id AND d.id = $4
  RETURNING d.attempts
), logged AS (
  INSERT INTO webhook_attempts (merchant_id, delivery_id, attempt, at, status_code, error, duration_ms, response)
  SELECT $1, $4, attempts, $12, $13, $14, $15, $16 FROM moved
)
SELECT reason, since, date_trunc('milliseconds', now()) AS at, coalesce((SELECT is_released FROM held), false) AS is_released FROM reasoned`,
};

const RELEASE = {
  name: 'webhooks-release',
  text: `UPDATE webhook_endpoints SET lease_expires_at = now() WHERE merchant_id = $1 AND id = $2 AND lease_epoch = $3`,
};

/** The right to send to an endpoint, until somebody else takes it: his epoch is a higher one. */
export interface EndpointLease {
  readonly merchantId: bigint;
  readonly endpointId: bigint;
  readonly epoch: bigint;
  readonly url: string;
  readonly ordering: Ordering;
  /** Secrets that sign, the current one first. Never logged. */
  readonly keys: readonly Buffer[];
}

export interface DueDelivery {
  readonly id: bigint;
  readonly xid: bigint;
  readonly seq: bigint;
  readonly type: string;
  readonly redelivery: boolean;
  /** Failed tries so far that count against the schedule. */
  readonly tries: number;
  /** False: the head of the line backs off. */
  readonly isDue: boolean;
  /** W3C traceparent of the attempt before, where it was sampled. */
  readonly triedIn: string | undefined;
  /** Undefined: the log no longer has it. */
  readonly event: { version: number; occurredAtMs: number; traceContext: string | undefined; data: string } | undefined;
}

export interface Verdict {
  outcome: 'delivered' | 'failed' | 'lapsed';
  status: 'due' | 'delivered' | 'failed';
  tries: number;
  nextDelayMs: number | undefined;
  /** It answered 410: the endpoint is disabled at once. */
  gone: boolean;
  attempt: {
    atMs: number;
    statusCode?: number;
    error?: string;
    durationMs: number;
    response?: string;
    /** W3C traceparent of a sampled one. */
    traceContext?: string;
  };
}

/** All SQL of the sender. Every statement that writes names its epoch. */
export class DeliveryStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** At most `limit`, and so many of a merchant that with those in hand (of each merchant, in their order) it has at most `most`. */
  async claim(
    merchantIds: readonly bigint[],
    options: { leaseMs: number; limit: number; inHand: readonly number[]; most: number },
  ): Promise<EndpointLease[]> {
    const { leaseMs, limit, inHand, most } = options;
    const values = [int8Array(merchantIds), leaseMs, limit, int4Array(inHand), most];
    const rows = await this.#database.write<ClaimRow>({ merchantIds }, deadline(), { ...CLAIM, values });
    return rows.map(leaseOf);
  }

  /** The same right for longer, with the secrets of now; undefined when it is somebody else's, or the endpoint not enabled. */
  async renew({ merchantId, endpointId, epoch }: EndpointLease, leaseMs: number): Promise<EndpointLease | undefined> {
    const values = [merchantId, endpointId, epoch, leaseMs];
    const [row] = await this.#database.write<ClaimRow>({ merchantIds: [merchantId] }, deadline(), { ...RENEW, values });
    return row && leaseOf(row);
  }

  /** In how many milliseconds merchants have something to be claimed next, within `aheadMs`; 0 and less: now. */
  async dueTimes(merchantIds: readonly bigint[], aheadMs: number): Promise<{ merchantId: bigint; inMs: number }[]> {
    const values = [int8Array(merchantIds), aheadMs];
    const rows = await this.#database.read<{ merchant_id: bigint; in_ms: number }>({ merchantIds }, deadline(), {
      ...DUE_TIMES,
      values,
    });
    return rows.map((row) => ({ merchantId: row.merchant_id, inMs: row.in_ms }));
  }

  /** The beginning of an endpoint's line, in the order of sending. */
  async line({ merchantId, endpointId }: EndpointLease, limit: number): Promise<DueDelivery[]> {
    const values = [merchantId, endpointId, limit];
    const scope = { merchantIds: [merchantId] };
    return (await this.#database.read<DueRow>(scope, deadline(), { ...LINE, values })).map(deliveryOf);
  }

  /** What is due to an endpoint without order, but for what is in hand. */
  async due(
    { merchantId, endpointId }: EndpointLease,
    inHand: readonly bigint[],
    limit: number,
  ): Promise<DueDelivery[]> {
    const values = [merchantId, endpointId, limit, int8Array(inHand)];
    const scope = { merchantIds: [merchantId] };
    return (await this.#database.read<DueRow>(scope, deadline(), { ...DUE, values })).map(deliveryOf);
  }

  /**
   * Records a try and renews the lease, or ends it: after the last that the caller knows of, where there is none besides. Undefined, and nothing recorded, when the lease is somebody else's by now. The event of an
   * endpoint that is disabled needs the merchant's log, which those many tries that disable nothing are not to wait for.
   */
  async record(
    lease: EndpointLease,
    delivery: DueDelivery,
    verdict: Verdict,
    options: { leaseMs: number; disableAfterMs: number; isLast: boolean },
    within?: Span,
  ): Promise<{ disabled: boolean; released: boolean } | undefined> {
    const values = recordValues(lease, delivery, verdict, options);
    const { isLast } = options;
    const scope = { merchantIds: [lease.merchantId] };
    const [recorded] = await this.#database.write<RecordRow>(scope, deadline().under(within), {
      ...RECORD,
      values: [...values, false, isLast, verdict.attempt.traceContext ?? null],
    });
    if (!recorded?.reason) return recorded && { disabled: false, released: recorded.is_released };
    return this.#database.transaction(scope, deadline().under(within), async (client) => {
      const log = await MerchantLog.lock(client, lease.merchantId);
      const [row] = (
        await client.query<RecordRow>({
          ...RECORD,
          values: [...values, true, isLast, verdict.attempt.traceContext ?? null],
        })
      ).rows;
      if (row?.reason) await log.append(disabledEvent(lease, row.reason, row, delivery));
      return row && { disabled: row.reason !== null, released: row.is_released };
    });
  }

  async release({ merchantId, endpointId, epoch }: EndpointLease): Promise<void> {
    const values = [merchantId, endpointId, epoch];
    await this.#database.write({ merchantIds: [merchantId] }, deadline(), { ...RELEASE, values });
  }
}

interface RecordRow extends Record<string, unknown> {
  reason: DisabledReason | null;
  since: number;
  at: number;
  is_released: boolean;
}

function recordValues(
  lease: EndpointLease,
  delivery: DueDelivery,
  { attempt, ...verdict }: Verdict,
  options: { leaseMs: number; disableAfterMs: number },
): unknown[] {
  return [
    lease.merchantId,
    lease.endpointId,
    lease.epoch,
    delivery.id,
    verdict.outcome,
    verdict.status,
    verdict.tries,
    verdict.nextDelayMs ?? null,
    verdict.gone,
    options.disableAfterMs,
    options.leaseMs,
    new Date(attempt.atMs),
    attempt.statusCode ?? null,
    attempt.error ?? null,
    attempt.durationMs,
    attempt.response ?? null,
  ];
}

function disabledEvent(
  { endpointId, url }: EndpointLease,
  reason: DisabledReason,
  { since, at }: RecordRow,
  { event }: DueDelivery,
): NewEvent {
  return {
    type: 'webhook_endpoint.disabled',
    data: {
      endpoint_id: String(endpointId),
      host: new URL(url).host,
      reason,
      failing_since: new Date(since).toISOString(),
    },
    occurredAtMs: at,
    traceContext: event?.traceContext,
  };
}

interface ClaimRow extends Record<string, unknown> {
  merchant_id: bigint;
  id: bigint;
  lease_epoch: bigint;
  url: string;
  ordering: Ordering;
  keys: Buffer[];
}

function leaseOf(row: ClaimRow): EndpointLease {
  const { merchant_id: merchantId, id: endpointId, lease_epoch: epoch, url, ordering, keys } = row;
  return { merchantId, endpointId, epoch, url, ordering, keys };
}

interface DueRow extends Record<string, unknown> {
  id: bigint;
  event_xid: bigint;
  event_seq: bigint;
  event_type: string;
  redelivery: boolean;
  tries: number;
  is_due: boolean;
  tried_in: string | null;
  version: number;
  occurred_at: number;
  trace_context: string | null;
  data: string | null;
}

function deliveryOf(row: DueRow): DueDelivery {
  return {
    id: row.id,
    xid: row.event_xid,
    seq: row.event_seq,
    type: row.event_type,
    redelivery: row.redelivery,
    tries: row.tries,
    isDue: row.is_due,
    triedIn: row.tried_in ?? undefined,
    event:
      row.data === null
        ? undefined
        : {
            version: row.version,
            occurredAtMs: row.occurred_at,
            traceContext: row.trace_context ?? undefined,
            data: row.data,
          },
  };
}

function deadline(): Deadline {
  return Deadline.after(STATEMENT_DEADLINE_MS);
}
