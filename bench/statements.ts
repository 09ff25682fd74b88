import type pg from 'pg';
import { textTable } from '#db/bench/text-table.js';

/** What this database's statements have cost PostgreSQL since `CREATE EXTENSION pg_stat_statements`, the costliest first. */
export async function costliest(owner: pg.Client): Promise<string> {
  const { rows } = await owner.query(`
SELECT regexp_replace(left(query, 90), '\\s+', ' ', 'g') AS query, calls::int AS calls, rows::int AS rows, total_exec_time AS ms,
       shared_blks_hit::int AS hit, shared_blks_read::int AS read
  FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
 ORDER BY total_exec_time DESC LIMIT 16`);
  return textTable(
    ['statement', 'calls', 'rows', 'ms', 'pages hit', 'read'],
    rows.map(({ query, calls, rows: count, ms, hit, read }) => [
      query,
      ...[calls, count, Math.round(ms), hit, read].map(String),
    ]),
  );
}
