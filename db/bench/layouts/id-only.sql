-- The naive layout: the Snowflake alone is the key.
-- In:  transactions, as migrated (columns and checks are taken from it).
-- Out: bench_layout.id_only
CREATE TABLE bench_layout.id_only (LIKE transactions INCLUDING DEFAULTS INCLUDING CONSTRAINTS, PRIMARY KEY (id)) WITH (autovacuum_enabled = off);
