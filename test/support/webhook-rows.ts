/** A row in each table of the webhooks; $1 merchant, $2 id of all of them. */
export const WEBHOOK_ROWS = `
WITH endpoint AS (
  INSERT INTO webhook_endpoints (merchant_id, id, url, created_at) VALUES ($1, $2, 'https://example.com/', snowflake_time($2))
), secret AS (
  INSERT INTO webhook_secrets (merchant_id, endpoint_id, id, key, created_at) VALUES ($1, $2, $2, sha256('x'), snowflake_time($2))
), delivery AS (
  INSERT INTO webhook_deliveries (merchant_id, endpoint_id, id, event_xid, event_seq, event_type) VALUES ($1, $2, $2, '1', 1, 't')
)
INSERT INTO webhook_attempts (merchant_id, delivery_id, attempt, at, status_code, duration_ms) VALUES ($1, $2, 1, now(), 200, 1)`;

/** The same table by table, for a merchant $1 that is not the transaction's. */
export const WEBHOOK_INSERTS = {
  webhook_endpoints: `INSERT INTO webhook_endpoints (merchant_id, id, url, created_at) VALUES ($1, $1, 'x', snowflake_time($1))`,
  webhook_secrets: `INSERT INTO webhook_secrets (merchant_id, endpoint_id, id, key, created_at) VALUES ($1, 1, $1, sha256('z'), snowflake_time($1))`,
  webhook_deliveries: `INSERT INTO webhook_deliveries (merchant_id, endpoint_id, id, event_xid, event_seq, event_type) VALUES ($1, 1, 1, '1', 1, 't')`,
  webhook_attempts: `INSERT INTO webhook_attempts (merchant_id, delivery_id, attempt, at, status_code, duration_ms) VALUES ($1, 1, 1, now(), 200, 1)`,
};

/** What the runtime role may do to rows of its own merchants, and to no other's. */
export const webhookChanges = (merchantId: bigint): string[] => [
  `UPDATE webhook_endpoints SET status = 'enabled' WHERE merchant_id = ${merchantId}`,
  `UPDATE webhook_secrets SET expires_at = NULL WHERE merchant_id = ${merchantId}`,
  `UPDATE webhook_deliveries SET status = 'due' WHERE merchant_id = ${merchantId}`,
  `DELETE FROM webhook_attempts WHERE merchant_id = ${merchantId}`,
];
