-- The naive layout once somebody has noticed: a secondary index for the list.
-- In:  transactions, as migrated (columns and checks are taken from it).
-- Out: bench_layout.secondary
CREATE TABLE bench_layout.secondary (LIKE transactions INCLUDING DEFAULTS INCLUDING CONSTRAINTS, PRIMARY KEY (id)) WITH (autovacuum_enabled = off);
CREATE INDEX ON bench_layout.secondary (merchant_id, created_at DESC);
