import { expect, it } from 'vitest';
import { statementName } from './statement-name.js';

it.each([
  [{ name: 'lock-balances', text: 'SELECT 1' }, 'lock balances'],
  [{ text: 'SELECT id FROM merchants WHERE id > $1 ORDER BY id LIMIT $2' }, 'SELECT merchants'],
  [{ text: 'SELECT "Merchant"."id" FROM "merchants" "Merchant" WHERE "Merchant"."name" IN ($1)' }, 'SELECT merchants'],
  [
    { text: 'INSERT INTO write_fences (token) VALUES ($1) ON CONFLICT (token) DO UPDATE SET voided = true' },
    'INSERT write_fences',
  ],
  [
    { text: 'WITH due AS (\n SELECT id FROM timers FOR UPDATE SKIP LOCKED\n) DELETE FROM timers USING due' },
    'DELETE timers',
  ],
  [{ text: 'SELECT a IS DISTINCT FROM b, extract(epoch FROM now()) FROM jobs' }, 'SELECT jobs'],
  [
    { text: 'SELECT k.id FROM unnest($1::bigint[]) AS k CROSS JOIN LATERAL (SELECT 1 FROM entries) e' },
    'SELECT entries',
  ],
  [{ text: 'SELECT extract(epoch FROM z.from_at) FROM merchant_time_zones z' }, 'SELECT merchant_time_zones'],
  [{ text: "SELECT set_config('lock_timeout', $1, true)" }, 'SELECT'],
  [{ text: 'ROLLBACK TO SAVEPOINT before_work' }, 'ROLLBACK'],
])('%j is called %s', (statement, name) => {
  expect(statementName(statement)).toBe(name);
  expect(statementName(statement)).toBe(name);
});
