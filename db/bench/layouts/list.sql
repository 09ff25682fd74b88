-- The newest 100 transactions of a merchant, as GET /v1/transactions lists them.
-- In:  :table, :merchant, :order (newest first, as the layout can serve it best)
SELECT id, kind, type, amount, currency, external_ref, effective_at, created_at, parent_id
  FROM bench_layout.:table WHERE merchant_id = :merchant ORDER BY :order LIMIT 100
