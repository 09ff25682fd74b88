-- In:  :table.  Out: bytes of its heap and of all its indexes, and of one row on average.
SELECT pg_relation_size('bench_layout.:table')::float8 AS heap, pg_indexes_size('bench_layout.:table')::float8 AS indexes,
       pg_relation_size('bench_layout.:table')::float8 / (SELECT count(*) FROM bench_layout.:table) AS row
