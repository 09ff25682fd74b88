-- The rows that every layout is filled with, in the order in which a ledger would have written them.
-- In:  :rows, :merchants (Zipf with exponent 1.1), :tiny (merchants with about 30 rows each). Same seed, same rows.
-- Out: bench_layout.merchants (id, share), bench_layout.source (n 1…rows, and the columns of `transactions`): twelve months
--      in time order, ids are Snowflakes of worker 1, about 200 bytes a row.
CREATE SCHEMA bench_layout;

CREATE TABLE bench_layout.merchants AS
WITH weights AS (
  SELECT rank, power(rank::float8, -1.1) AS weight FROM generate_series(1, :merchants) AS rank
  UNION ALL
  SELECT :merchants + tiny, (SELECT sum(power(rank::float8, -1.1)) FROM generate_series(1, :merchants) AS rank) * 30.0 / :rows
    FROM generate_series(1, :tiny) AS tiny
)
SELECT rank, ((rank * 7919) % 1000003)::bigint << 22 AS id, weight / sum(weight) OVER () AS share,
       sum(weight) OVER (ORDER BY rank) / sum(weight) OVER () AS up_to
  FROM weights;

SELECT setseed(0.42);
-- Not CREATE TABLE AS: that writes through a small ring of buffers, page by page when the kernel's cache is bypassed.
CREATE UNLOGGED TABLE bench_layout.source (n bigint, LIKE transactions INCLUDING DEFAULTS);
INSERT INTO bench_layout.source (n, merchant_id, created_at, id, kind, type, amount, currency, external_ref, effective_at,
  parent_id, expires_at, description, metadata, legs, ignored_floor)
WITH drawn AS MATERIALIZED (
  SELECT n, width_bucket(random(), (SELECT array_agg(up_to ORDER BY rank) FROM bench_layout.merchants)) + 1 AS rank,
         (1 + random() * 500000)::bigint AS amount, (random() * 999)::int AS payer, (random() * 999)::int AS payee,
         -- Twelve months from 2025-10-01, evenly; a Snowflake counts milliseconds from 2025-01-01.
         ((23587200000 + n * 31536000000 / :rows) << 22) | (1 << 12) | (n % 4096) AS id
    FROM generate_series(1::bigint, :rows) AS n
)
SELECT n, m.id AS merchant_id, snowflake_time(d.id) AS created_at, d.id, 'posted'::text AS kind, 'payment'::text AS type, amount,
       'EUR'::text AS currency, 'order-' || lpad(n::text, 12, '0') AS external_ref, snowflake_time(d.id) AS effective_at,
       NULL::bigint AS parent_id, NULL::timestamptz AS expires_at, NULL::text AS description,
       json_build_object('terminal', payer) AS metadata,
       ARRAY[(m.id | payer), n / 500 + 1, (m.id | (payee + 1000)), n / 500 + 1]::bigint[] AS legs, false AS ignored_floor
  FROM drawn d JOIN bench_layout.merchants m USING (rank);
CREATE INDEX ON bench_layout.source (n);
ANALYZE bench_layout.source;
