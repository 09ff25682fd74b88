import { notFound } from '#kernel/problem.js';
import type { EventType } from '#outbox/log/catalogue.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database, TransactionClient } from '#platform/postgres.js';

export type EndpointStatus = 'enabled' | 'disabled';
/** `failing`: nothing but failures for WEBHOOK_DISABLE_AFTER_HOURS; `gone`: it answered 410. */
export type DisabledReason = 'failing' | 'gone';

/** `none`: several at once, each waits for its own retry; `strict`: the log's, one after another. */
export type Ordering = 'none' | 'strict';

export interface WebhookEndpoint {
  id: bigint;
  url: string;
  /** Null: every type. */
  eventTypes: EventType[] | null;
  ordering: Ordering;
  status: EndpointStatus;
  disabledReason: DisabledReason | null;
  /** Of the first failure since the last success, in milliseconds since 1970. */
  failingSinceMs: number | null;
}

const ENDPOINT_COLUMNS = 'id, url, event_types, ordering, status, disabled_reason, failing_since';
const SELECT_ENDPOINT = `SELECT ${ENDPOINT_COLUMNS} FROM webhook_endpoints WHERE merchant_id = $1 AND id = $2 AND status <> 'deleted'`;
const SELECT_ENDPOINTS = `
SELECT ${ENDPOINT_COLUMNS} FROM webhook_endpoints
 WHERE merchant_id = $1 AND status <> 'deleted' AND ($2::bigint IS NULL OR id < $2) ORDER BY id DESC LIMIT $3`;

/** $5 most endpoints. Two at the same moment may pass it by one, which harms nobody. */
const INSERT_ENDPOINT = `
INSERT INTO webhook_endpoints (merchant_id, id, url, event_types, ordering, created_at)
SELECT $1, $2, $3, $4::text[], $6, snowflake_time($2)
 WHERE (SELECT count(*) FROM webhook_endpoints WHERE merchant_id = $1 AND status <> 'deleted') < $5`;
const INSERT_SECRET = `
INSERT INTO webhook_secrets (merchant_id, endpoint_id, id, key, created_at) VALUES ($1, $2, $3, $4, snowflake_time($3))`;

/** Rotations of an endpoint take turns behind its row. */
const LOCK_ENDPOINT = `${SELECT_ENDPOINT} FOR NO KEY UPDATE`;
/** How many secrets of an endpoint sign, and when the first of them ends. */
const COUNT_SIGNING = `
SELECT count(*)::int AS signing, min(expires_at) AS first_end FROM webhook_secrets
 WHERE merchant_id = $1 AND endpoint_id = $2 AND (expires_at IS NULL OR expires_at > now())`;
/** The current secret goes on for $3 milliseconds; those before it, each to its own end. What signs no more is forgotten. */
const RETIRE_SECRETS = `
WITH dropped AS (
  DELETE FROM webhook_secrets WHERE merchant_id = $1 AND endpoint_id = $2 AND expires_at <= now()
)
UPDATE webhook_secrets SET expires_at = now() + $3::bigint * interval '1 millisecond'
 WHERE merchant_id = $1 AND endpoint_id = $2 AND expires_at IS NULL`;

/** A sender that is at work records nothing more: it does so for enabled endpoints only. */
const DELETE_ENDPOINT = `
WITH forgotten AS (DELETE FROM webhook_secrets WHERE merchant_id = $1 AND endpoint_id = $2)
UPDATE webhook_endpoints SET status = 'deleted', disabled_reason = NULL
 WHERE merchant_id = $1 AND id = $2 AND status <> 'deleted'`;

/** What was due when it was disabled is tried again at once, with the whole schedule before it. */
const ENABLE_ENDPOINT = `
WITH enabled AS (
  UPDATE webhook_endpoints
     SET status = 'enabled', disabled_reason = NULL, failing_since = NULL, since_xid = log_xid()
   WHERE merchant_id = $1 AND id = $2 AND status = 'disabled' RETURNING id
)
UPDATE webhook_deliveries d SET tries = 0, next_attempt_at = now()
  FROM enabled WHERE d.merchant_id = $1 AND d.endpoint_id = enabled.id AND d.status = 'due' AND d.tries > 0`;

interface EndpointRow extends Record<string, unknown> {
  id: bigint;
  url: string;
  event_types: EventType[] | null;
  ordering: Ordering;
  status: EndpointStatus;
  disabled_reason: DisabledReason | null;
  failing_since: number | null;
}

function endpointOf(row: EndpointRow): WebhookEndpoint {
  return {
    id: row.id,
    url: row.url,
    eventTypes: row.event_types,
    ordering: row.ordering,
    status: row.status,
    disabledReason: row.disabled_reason,
    failingSinceMs: row.failing_since,
  };
}

export async function getEndpoint(
  database: Database,
  merchantId: bigint,
  id: bigint,
  deadline: Deadline,
): Promise<WebhookEndpoint | undefined> {
  const query = { text: SELECT_ENDPOINT, values: [merchantId, id] };
  const [row] = await database.read<EndpointRow>({ merchantIds: [merchantId] }, deadline, query);
  return row && endpointOf(row);
}

/** Newest first. */
export async function listEndpoints(
  database: Database,
  merchantId: bigint,
  page: { before: bigint | undefined; limit: number },
  deadline: Deadline,
): Promise<WebhookEndpoint[]> {
  const query = { text: SELECT_ENDPOINTS, values: [merchantId, page.before ?? null, page.limit] };
  const scope = { merchantIds: [merchantId] };
  return (await database.read<EndpointRow>(scope, deadline, query)).map(endpointOf);
}

/** Returns false, and inserts nothing, when the merchant has `limit` endpoints. */
export async function insertEndpoint(
  client: TransactionClient,
  merchantId: bigint,
  endpoint: { id: bigint; url: string; eventTypes: readonly EventType[] | null; ordering: Ordering },
  limit: number,
): Promise<boolean> {
  const values = [merchantId, endpoint.id, endpoint.url, endpoint.eventTypes, limit, endpoint.ordering];
  return (await client.query({ text: INSERT_ENDPOINT, values })).rowCount === 1;
}

export async function insertSecret(
  client: TransactionClient,
  merchantId: bigint,
  secret: { endpointId: bigint; id: bigint; key: Buffer },
): Promise<void> {
  await client.query({ text: INSERT_SECRET, values: [merchantId, secret.endpointId, secret.id, secret.key] });
}

/** The endpoint, which nobody else changes until the transaction ends. Throws `not_found`. */
export async function lockEndpoint(
  client: TransactionClient,
  merchantId: bigint,
  id: bigint,
): Promise<WebhookEndpoint> {
  const [row] = (await client.query<EndpointRow>({ text: LOCK_ENDPOINT, values: [merchantId, id] })).rows;
  if (!row) throw notFound('webhook endpoint');
  return endpointOf(row);
}

/** How many secrets sign; and when, in milliseconds since 1970, the first of those that were rotated stops. */
export async function signingSecrets(
  client: TransactionClient,
  merchantId: bigint,
  endpointId: bigint,
): Promise<{ signing: number; firstEndMs: number | null }> {
  const query = { text: COUNT_SIGNING, values: [merchantId, endpointId] };
  const [row] = (await client.query<{ signing: number; first_end: number | null }>(query)).rows;
  return { signing: row?.signing ?? 0, firstEndMs: row?.first_end ?? null };
}

export async function retireSecrets(
  client: TransactionClient,
  merchantId: bigint,
  endpointId: bigint,
  overlapMs: number,
): Promise<void> {
  await client.query({ text: RETIRE_SECRETS, values: [merchantId, endpointId, overlapMs] });
}

export async function deleteEndpoint(client: TransactionClient, merchantId: bigint, id: bigint): Promise<boolean> {
  return (await client.query({ text: DELETE_ENDPOINT, values: [merchantId, id] })).rowCount === 1;
}

export async function enableEndpoint(client: TransactionClient, merchantId: bigint, id: bigint): Promise<void> {
  await client.query({ text: ENABLE_ENDPOINT, values: [merchantId, id] });
}
