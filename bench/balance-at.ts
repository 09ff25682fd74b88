// What `?at=` costs on one account as its history grows, with and without late entries. See docs/figures/balance-at.md.
import pg from 'pg';
import { statementOfBalanceAt } from '#ledger/accounts/balance-store.js';
import { connectionOptions } from '#platform/postgres.js';
import { scratchDatabase } from '../db/bench/scratch-database.js';
import { median, percentile, textTable } from '../db/bench/text-table.js';
import { fillHistory } from './bulk-history.js';
import { explain } from './explain.js';

const ENTRIES = (process.env.COUNTERFOIL_BENCH_ENTRIES ?? '10000,100000,1000000').split(',').map(Number);
const LATE = [0, 0.1];
const MOMENTS = 200;

const serverUrl = process.env.DATABASE_URL;
if (!serverUrl) throw new Error('DATABASE_URL is not set; run npm run bench:balance-at');

const rows: string[][] = [];
let plan = '';
for (const entries of ENTRIES) {
  for (const late of LATE) rows.push(await measure(serverUrl, entries, late));
}
const header = [
  'entries',
  'late',
  'rows in late_sums',
  'buffers median',
  'buffers max',
  'ms median',
  'ms p99',
  'naive sum ms',
];
console.log(`\n${textTable(header, rows, 0)}\n\nplan: ${plan}`);

async function measure(url: string, entries: number, late: number): Promise<string[]> {
  const scratch = await scratchDatabase(url, 'balance_at');
  const owner = new pg.Client(connectionOptions(scratch.url, 'bench'));
  const runtime = new pg.Client(connectionOptions(scratch.runtimeUrl, 'bench'));
  try {
    await Promise.all([owner.connect(), runtime.connect()]);
    const { merchantId, accountIds, firstMs, lastMs } = await fillHistory(owner, {
      pairs: 1,
      transactions: entries,
      late,
    });
    const accountId = accountIds[0] as bigint;
    const buffers: number[] = [];
    const ms: number[] = [];
    const naiveMs: number[] = [];
    for (let index = 0; index < MOMENTS; index += 1) {
      const atMs = firstMs + Math.floor(((lastMs - firstMs) * index) / MOMENTS);
      const statement = statementOfBalanceAt(merchantId, accountId, atMs);
      const explained = await explain(runtime, merchantId, statement);
      buffers.push(explained.buffers);
      ms.push(explained.executionMs);
      plan = explained.text;
      if (index % 40 === 0) naiveMs.push(await compare(owner, { statement, merchantId, accountId, atMs }));
    }
    const { rows: counted } = await owner.query('SELECT count(*) AS late_sums FROM late_sums WHERE account_id = $1', [
      accountId,
    ]);
    const digits = (value: number): string => value.toFixed(2);
    return [
      String(entries),
      `${late * 100} %`,
      String(counted[0].late_sums),
      String(Math.round(median(buffers))),
      String(Math.max(...buffers)),
      digits(median(ms)),
      digits(percentile(ms, 0.99)),
      digits(median(naiveMs)),
    ];
  } finally {
    await Promise.all([owner.end(), runtime.end()]);
    await scratch.drop();
  }
}

interface Moment {
  statement: { text: string; values: unknown[] };
  merchantId: bigint;
  accountId: bigint;
  atMs: number;
}

/** The sum over all entries that the index would have to read otherwise: same answer, and how long it took. */
async function compare(owner: pg.Client, { statement, merchantId, accountId, atMs }: Moment): Promise<number> {
  const started = performance.now();
  const { rows: summed } = await owner.query(
    `SELECT coalesce(sum(posted_amount), 0)::bigint AS posted, coalesce(sum(pending_amount), 0)::bigint AS pending,
            coalesce(max(account_version), 0) AS version
       FROM entries WHERE merchant_id = $1 AND account_id = $2 AND effective_at <= $3`,
    [merchantId, accountId, new Date(atMs)],
  );
  const elapsed = performance.now() - started;
  const { rows: told } = await owner.query(statement.text, statement.values);
  const [at, sum] = [told[0], summed[0]];
  if (at.posted_debits !== sum.posted || at.pending_debits !== sum.pending || at.version !== sum.version) {
    throw new Error(`at ${atMs}: told ${JSON.stringify(at)}, summed ${JSON.stringify(sum)}`);
  }
  return elapsed;
}
