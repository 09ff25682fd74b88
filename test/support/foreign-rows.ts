/** For every table with a merchant_id: how a row of merchant $1 would be inserted. A new table has to say so here. */
export const FOREIGN_INSERTS: Readonly<Record<string, string>> = {
  merchants: `INSERT INTO merchants SELECT id + 1, name, time_zone, settlement_cutoff, currencies, snowflake_time(id + 1) FROM merchants`,
  accounts: `INSERT INTO accounts SELECT $1, id + 1, 'other', name, currency, normal_side, NULL, metadata, snowflake_time(id + 1) FROM accounts`,
  api_keys: `INSERT INTO api_keys VALUES ($1, $1, sha256('z'), 'z', snowflake_time($1))`,
  balances: `INSERT INTO balances (merchant_id, account_id) VALUES ($1, 1)`,
  transactions: `INSERT INTO transactions SELECT $1, created_at, id, kind, type, amount, currency, NULL, effective_at, parent_id, NULL, NULL, NULL, legs FROM transactions`,
  entries: `INSERT INTO entries SELECT $1, account_id, account_version, transaction_id, direction, currency, posted_amount, pending_amount, posted_debits, posted_credits, pending_debits, pending_credits, effective_at, type FROM entries`,
  transaction_states: `INSERT INTO transaction_states VALUES ($1, 1, 'pending', 1, 0, '{1,1}')`,
  late_sums: `INSERT INTO late_sums VALUES ($1, 1, 0, 0, 1, 1, 0, 0)`,
  idempotency_keys: `INSERT INTO idempotency_keys VALUES ($1, 'k', sha256('z'), 201, 1)`,
  events: `INSERT INTO events (merchant_id, type, version, occurred_at, data) VALUES ($1, 't', 1, now(), '{}')`,
  daily_summaries: `INSERT INTO daily_summaries VALUES ($1, 0, now(), 1, 't', 'EUR', 1, 1, 0, 0)`,
  dead_letters: `INSERT INTO dead_letters (merchant_id, id, consumer, xid, seq, event_type, event_version, parks, tries, error, created_at)
    VALUES ($1, $1, 'c', '1', 1, 't', 1, 'event', 1, 'e', snowflake_time($1))`,
  event_horizons: `INSERT INTO event_horizons VALUES ($1, '1', 1, now())`,
  parked_streams: `INSERT INTO parked_streams (merchant_id, consumer, xid, seq) VALUES ($1, 'c', '1', 1)`,
  merchant_time_zones: `INSERT INTO merchant_time_zones (merchant_id, from_at, from_day, time_zone) VALUES ($1, now(), now(), 'UTC')`,
  fee_plan_assignments: `WITH plan AS (INSERT INTO fee_plans VALUES ($1, 'p', snowflake_time($1)) RETURNING id)
    INSERT INTO fee_plan_assignments (merchant_id, valid_from, fee_plan_id) SELECT $1, now(), id FROM plan`,
  due_rows: `INSERT INTO due_rows (merchant_id, kind, subject_id, due_at, try_at) VALUES ($1, 'k', 1, '2027-01-01Z', now())`,
  payments: `INSERT INTO payments (merchant_id, id, subject, created_at, status, currency, amount, amount_authorised, amount_capturable, amount_captured,
    amount_refunded, amount_disputed, amount_settled, parts, transactions)
    VALUES ($1, $1, 'p/1', snowflake_time($1), 'voided', 'EUR', 1, 1, 0, 0, 0, 0, 0,
      '{"captures": [], "refunds": [], "disputes": [], "settlements": [], "findings": []}', '{}')`,
  payment_facts: `INSERT INTO payment_facts (merchant_id, subject, fact_id, id, received_at, occurred_at, source, event_id, type, amount, currency, more, outcome)
    SELECT $1, 'p/1', type, $1 + place, snowflake_time($1), now(), 'provider', type, type, 1, 'EUR', '{"amount_kind": "delta"}', 'applied'
      FROM unnest('{authorised,voided}'::text[]) WITH ORDINALITY AS told (type, place)`,
  provider_secrets: `INSERT INTO provider_secrets (merchant_id, provider, id, key, created_at) VALUES ($1, 'p', $1, sha256('z'), snowflake_time($1))`,
  provider_inbox: `INSERT INTO provider_inbox (merchant_id, id, provider, body, received_at) VALUES ($1, $1, 'p', 'x', snowflake_time($1))`,
  provider_queries: `INSERT INTO provider_queries (merchant_id, provider, token, changed_at) VALUES ($1, 'p', 't', now())`,
  payment_queries: `INSERT INTO payment_queries (merchant_id, subject, asked_at, outcome) VALUES ($1, 'p/1', now(), 'nothing')`,
  webhook_endpoints: `INSERT INTO webhook_endpoints (merchant_id, id, url, created_at) VALUES ($1, $1, 'x', snowflake_time($1))`,
  webhook_secrets: `INSERT INTO webhook_secrets (merchant_id, endpoint_id, id, key, created_at) VALUES ($1, $1, $1, sha256('z'), snowflake_time($1))`,
  webhook_deliveries: `INSERT INTO webhook_deliveries (merchant_id, endpoint_id, id, event_xid, event_seq, event_type) VALUES ($1, $1, 1, '1', 1, 't')`,
  webhook_attempts: `INSERT INTO webhook_attempts (merchant_id, delivery_id, attempt, at, status_code, duration_ms) VALUES ($1, 1, 1, now(), 200, 1)`,
};

/** Tables that postings do not fill: a row of each, in an order that their references allow. */
export const NOT_OF_POSTINGS = [
  'api_keys',
  'daily_summaries',
  'due_rows',
  'dead_letters',
  'parked_streams',
  'merchant_time_zones',
  'fee_plan_assignments',
  'payments',
  'payment_facts',
  'provider_secrets',
  'provider_inbox',
  'provider_queries',
  'payment_queries',
  'webhook_endpoints',
  'webhook_secrets',
  'webhook_deliveries',
  'webhook_attempts',
];

/** What the runtime role may do to rows of the transaction's merchants, and to nobody else's. */
export const FOREIGN_CHANGES = [
  'UPDATE balances SET closed = true',
  'UPDATE transaction_states SET remaining = 0',
  'UPDATE late_sums SET posted_debits = 0',
  'UPDATE api_keys SET revoked_at = now()',
  'DELETE FROM idempotency_keys',
  'UPDATE daily_summaries SET debit_count = 9',
  'UPDATE due_rows SET try_at = now()',
  'DELETE FROM due_rows',
  `UPDATE dead_letters SET status = 'redriving'`,
  'DELETE FROM parked_streams',
  'DELETE FROM merchant_time_zones',
  'DELETE FROM fee_plan_assignments',
  `UPDATE payments SET status = 'voided'`,
  `UPDATE payment_facts SET outcome = 'stale'`,
  'UPDATE provider_secrets SET expires_at = NULL',
  `UPDATE provider_inbox SET times_received = 9`,
  `UPDATE provider_queries SET token = 'x'`,
  'UPDATE payment_queries SET times = 9',
  `UPDATE webhook_endpoints SET status = 'enabled'`,
  'UPDATE webhook_secrets SET expires_at = NULL',
  `UPDATE webhook_deliveries SET status = 'due'`,
  'DELETE FROM webhook_attempts',
];
