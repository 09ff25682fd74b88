-- Appends rows to a layout in time order.
-- In:  :table, :from and :to (inclusive) of bench_layout.source.n
INSERT INTO bench_layout.:table (merchant_id, created_at, id, kind, type, amount, currency, external_ref, effective_at, parent_id,
                                 expires_at, description, metadata, legs)
SELECT merchant_id, created_at, id, kind, type, amount, currency, external_ref, effective_at, parent_id, expires_at, description,
       metadata, legs
  FROM bench_layout.source WHERE n BETWEEN :from AND :to ORDER BY n;
