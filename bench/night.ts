// TEMP harness
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { EPOCH_MS } from '#kernel/snowflake.js';
import { scratchDatabase } from '#db/bench/scratch-database.js';
import { sqlFile } from '#db/bench/sql-file.js';
import { startApi } from './api-process.js';
import { cloneMerchant } from './night-clones.js';
import { dayThatEndsSoon, PLAN, recordDay } from './night-day.js';

const serverUrl = process.env.DATABASE_URL as string;
const source = await scratchDatabase(serverUrl, 'night');
const operatorKey = `cfo_${randomBytes(24).toString('hex')}`;
const owner = new pg.Client({ connectionString: source.url });
await owner.connect();
try {
  const api = await startApi(join(import.meta.dirname, '..', 'apps/api/src/main.js'), { DATABASE_URL: source.url, DATABASE_RUNTIME_URL: source.runtimeUrl, COUNTERFOIL_OPERATOR_KEY: operatorKey });
  const day = dayThatEndsSoon();
  console.log(day);
  const { merchantId } = await recordDay(api.port, operatorKey, day, 100);
  await api.stop();
  await owner.query(`INSERT INTO fee_plans VALUES ($1, 'x', snowflake_time($1))`, [merchantId]);
  await owner.query(`INSERT INTO fee_plan_versions VALUES ($1, 1, '-infinity', false, $2)`, [merchantId, JSON.stringify(PLAN.rules)]);
  await owner.query(`INSERT INTO fee_plan_assignments VALUES ($1, '-infinity', $1)`, [merchantId]);
  await owner.query(`INSERT INTO payable_items SELECT e.merchant_id, account_id, account_version, case type when 'payment.refunded' then 'refund' when 'payment.dispute_opened' then 'dispute' else 'payment' end, (select (metadata->>'payment_id')::bigint from transactions t where t.id=e.transaction_id) FROM entries e JOIN accounts a ON a.merchant_id=e.merchant_id AND a.id=e.account_id AND code='merchant_payable:EUR' WHERE type like 'payment.%'`);
  const t = performance.now();
  await cloneMerchant(owner, merchantId, Number(process.env.M ?? 100));
  console.log(`cloned in ${(performance.now() - t) / 1000} s`);
  console.log((await owner.query(`SELECT relname, n_live_tup, pg_size_pretty(pg_total_relation_size(relid)) FROM pg_stat_user_tables WHERE n_live_tup > 100 ORDER BY 2 DESC`)).rows);
  console.log((await owner.query(`SELECT e.* FROM entries e JOIN accounts a ON a.merchant_id=e.merchant_id AND a.id=e.account_id AND code='merchant_payable:EUR' WHERE e.merchant_id=$1 ORDER BY account_version DESC LIMIT 3`,[merchantId])).rows);
  await sleep(Math.max(0, day.endMs - Date.now()));
  const planId = (await owner.query('SELECT id FROM fee_plans')).rows[0]?.id ?? '0';
  for (let i=0;i<1;i++){
  const t2 = performance.now();
  const text = sqlFile('settlement.sql', { business_date: day.businessDate, starts_at: new Date(day.endMs - 86_400_000).toISOString(), ends_at: new Date(day.endMs).toISOString(), plan_id: planId, now_ms: Date.now(), epoch_ms: EPOCH_MS });
  for (const statement of text.split(/;\n/)) {
    const t3 = performance.now();
    const explain = process.env.EXPLAIN && /^\s*(INSERT|WITH|CREATE TEMP TABLE)/.test(statement) && !/^\s*CREATE/.test(statement);
    const r = await owner.query((explain ? 'EXPLAIN (ANALYZE, BUFFERS) ' : '') + statement);
    console.log(((performance.now() - t3) / 1000).toFixed(2), statement.trim().slice(0, 60).replace(/\n/g, ' '));
    if (explain) console.log(r.rows.map((x) => x['QUERY PLAN']).join('\n'));
  }
  console.log(`by hand in ${(performance.now() - t2) / 1000} s`);
  }
  console.log((await owner.query('SELECT * FROM settlements LIMIT 2')).rows);
  console.log((await owner.query('SELECT kind, sum(fee), sum(amount), count(*) from settlement_lines group by 1')).rows);
  console.log(process.env.KEEP ? source.url + ' ' + source.runtimeUrl : '');
  if (process.env.KEEP) await sleep(Number(process.env.KEEP) * 1000);
} finally {
  await owner.end();
  await source.drop();
}
