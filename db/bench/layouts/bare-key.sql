-- A key that leads with the tenant, and nothing else: the heap does not follow it.
-- In:  transactions, as migrated (columns and checks are taken from it).
-- Out: bench_layout.bare_key
CREATE TABLE bench_layout.bare_key (LIKE transactions INCLUDING DEFAULTS INCLUDING CONSTRAINTS, PRIMARY KEY (merchant_id, created_at, id))
  WITH (autovacuum_enabled = off);
