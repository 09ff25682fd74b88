-- Ours: exactly the key of the migration, with whatever it includes. Vacuumed by the benchmark, not behind its back.
-- In:  transactions, as migrated (columns and checks are taken from it).
-- Out: bench_layout.covering
DO $$ BEGIN
  EXECUTE format('CREATE TABLE bench_layout.covering (LIKE transactions INCLUDING DEFAULTS INCLUDING CONSTRAINTS, %s) WITH (autovacuum_enabled = off)',
    (SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'public.transactions'::regclass AND contype = 'p'));
END $$;
