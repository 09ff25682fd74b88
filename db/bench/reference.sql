-- The reference write path that `npm run bench` divides by: one SQL call with idempotency, two balance updates, two entries
-- and one outbox row, driven by pgbench. Column kinds and primary keys are those of the ledger's own tables. What the ledger
-- does on top (a transactions row, row-level security, checks of arithmetic, covering keys) the reference leaves out, and it
-- locks by updating in sorted order rather than first: it is meant to be hard to beat.
-- In:  :merchants, :accounts (of each merchant).
-- Out: schema bench_reference, merchants 1…:merchants with accounts 1…:accounts each, balances 0.
CREATE SCHEMA bench_reference;

CREATE TABLE bench_reference.balances (
  merchant_id bigint NOT NULL,
  account_id bigint NOT NULL,
  posted_debits bigint NOT NULL DEFAULT 0,
  posted_credits bigint NOT NULL DEFAULT 0,
  pending_debits bigint NOT NULL DEFAULT 0,
  pending_credits bigint NOT NULL DEFAULT 0,
  version bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (merchant_id, account_id)
) WITH (fillfactor = 70);
CREATE TABLE bench_reference.entries (
  merchant_id bigint NOT NULL,
  account_id bigint NOT NULL,
  account_version bigint NOT NULL,
  transaction_id bigint NOT NULL,
  direction smallint NOT NULL,
  currency text NOT NULL,
  posted_amount bigint NOT NULL,
  posted_debits bigint NOT NULL,
  posted_credits bigint NOT NULL,
  effective_at timestamptz NOT NULL,
  type text NOT NULL,
  PRIMARY KEY (merchant_id, account_id, account_version)
);
CREATE TABLE bench_reference.idempotency_keys (
  merchant_id bigint NOT NULL,
  key text COLLATE "C" NOT NULL,
  request_sha256 bytea NOT NULL,
  status smallint NOT NULL,
  transaction_id bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (merchant_id, key)
);
CREATE TABLE bench_reference.outbox (
  merchant_id bigint NOT NULL,
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  seq bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  type text NOT NULL,
  occurred_at timestamptz NOT NULL,
  data json NOT NULL,
  PRIMARY KEY (merchant_id, xid, seq)
);
CREATE SEQUENCE bench_reference.ids CACHE 32;

-- Moves an amount from payer to payee; answers the transaction's id, for a known key the first one's.
-- Locks, until the end of the transaction: the idempotency key, then both balances in ascending order of account.
CREATE FUNCTION bench_reference.post(of_merchant bigint, idempotency_key text, payer bigint, payee bigint, moved bigint)
  RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  new_id bigint := nextval('bench_reference.ids');
  known bigint;
  request bytea := sha256(convert_to(concat_ws(':', payer, payee, moved), 'UTF8'));
  lower_one bench_reference.balances;
  upper_one bench_reference.balances;
BEGIN
  INSERT INTO bench_reference.idempotency_keys (merchant_id, key, request_sha256, status, transaction_id)
    VALUES (of_merchant, idempotency_key, request, 201, new_id) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN
    SELECT transaction_id INTO known FROM bench_reference.idempotency_keys
     WHERE merchant_id = of_merchant AND key = idempotency_key AND request_sha256 = request;
    IF NOT FOUND THEN RAISE EXCEPTION 'idempotency key reused' USING ERRCODE = 'unique_violation'; END IF;
    RETURN known;
  END IF;
  UPDATE bench_reference.balances
     SET posted_debits = posted_debits + CASE account_id WHEN payer THEN moved ELSE 0 END,
         posted_credits = posted_credits + CASE account_id WHEN payee THEN moved ELSE 0 END, version = version + 1
   WHERE merchant_id = of_merchant AND account_id = least(payer, payee) RETURNING * INTO STRICT lower_one;
  UPDATE bench_reference.balances
     SET posted_debits = posted_debits + CASE account_id WHEN payer THEN moved ELSE 0 END,
         posted_credits = posted_credits + CASE account_id WHEN payee THEN moved ELSE 0 END, version = version + 1
   WHERE merchant_id = of_merchant AND account_id = greatest(payer, payee) RETURNING * INTO STRICT upper_one;
  INSERT INTO bench_reference.entries (merchant_id, account_id, account_version, transaction_id, direction, currency,
                                       posted_amount, posted_debits, posted_credits, effective_at, type)
    VALUES (of_merchant, lower_one.account_id, lower_one.version, new_id, CASE lower_one.account_id WHEN payer THEN 1 ELSE -1 END,
            'EUR', moved, lower_one.posted_debits, lower_one.posted_credits, now(), 'payment'),
           (of_merchant, upper_one.account_id, upper_one.version, new_id, CASE upper_one.account_id WHEN payer THEN 1 ELSE -1 END,
            'EUR', moved, upper_one.posted_debits, upper_one.posted_credits, now(), 'payment');
  INSERT INTO bench_reference.outbox (merchant_id, type, occurred_at, data)
    VALUES (of_merchant, 'transaction.posted', now(),
            format('{"transaction_id":"%s","type":"payment","amount":"%s","currency":"EUR","entries":['
                   '{"account_id":"%s","direction":"debit","posted":"%s"},{"account_id":"%s","direction":"credit","posted":"%s"}]}',
                   new_id, moved, payer, moved, payee, moved)::json);
  RETURN new_id;
END $$;

INSERT INTO bench_reference.balances (merchant_id, account_id)
  SELECT merchant, account FROM generate_series(1, :merchants) AS merchant, generate_series(1, :accounts) AS account;
VACUUM ANALYZE bench_reference.balances;
