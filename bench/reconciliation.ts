import { createReadStream, mkdtempSync, rmSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { request } from 'node:http';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { scratchDatabase } from '#db/bench/scratch-database.js';
import { median, textTable } from '#db/bench/text-table.js';
import { firstSnowflakeAt } from '#kernel/snowflake.js';
import { peakMemoryOf } from './cpu.js';
import { NightService, OPERATOR_KEY } from './night-service.js';
import { BREAK_EVERY, copyFile, fillPayments, writeReport } from './reconciliation-book.js';
import { matchByRows } from './reconciliation-rows.js';

/** `npm run bench:reconciliation`: see docs/figures/reconciliation.md. */

const { values } = parseArgs({
  options: {
    smoke: { type: 'boolean', default: false },
    rows: { type: 'string' },
    rounds: { type: 'string' },
    heap: { type: 'string' },
  },
});
const sizes = (values.rows ?? (values.smoke ? '2000' : '100000,1000000')).split(',').map(Number);
const rounds = Number(values.rounds ?? (values.smoke ? 1 : 3));
const POLL_MS = 20;
const WITHIN_MS = 900_000;
const serverUrl = process.env.DATABASE_URL;
if (!serverUrl) throw new Error('DATABASE_URL is not set; run npm run bench:reconciliation');

/** V8 gives what it has freed back when it must: a heap that must not grow tells whether what is received is held. Empty: as V8 likes. */
const apiHeap =
  values.heap === undefined ? {} : { NODE_OPTIONS: `--max-old-space-size=${values.heap} --max-semi-space-size=2` };

interface Measured {
  readonly copy: number;
  readonly received: number;
  readonly completed: number;
  readonly memory: readonly [api: number, worker: number];
}

const folder = mkdtempSync(join(tmpdir(), 'counterfoil-report-'));
try {
  // The server reads the file for its own COPY.
  await chmod(folder, 0o755);
  console.log(`${cpus().length} cores for server, API, worker and harness.`);
  const table: string[][] = [];
  for (const rows of sizes) table.push(await measure(rows));
  const head = ['rows', 'COPY, s', 'received, s', 'completed, s', 'rows/s', 'COPY ÷ ours', 'API, MiB', 'worker, MiB'];
  console.log(textTable(head, table));
  const alone = await byRows(Math.min(...sizes));
  const ratio = Number(table[sizes.indexOf(Math.min(...sizes))]?.[4]) / alone;
  console.log(
    `A row at a time, each an object: ${alone.toFixed(0)} rows/s; sets are ${ratio.toFixed(1)} times as fast.`,
  );
} finally {
  rmSync(folder, { recursive: true });
}

/** Each round has processes and a database of its own: a peak of memory is that of its report. */
async function measure(rows: number): Promise<string[]> {
  const path = join(folder, `${rows}.csv`);
  await writeReport(path, rows);
  const all: Measured[] = [];
  for (let round = 0; round < rounds; round += 1) all.push(await once(path, rows));
  const of = (what: (measured: Measured) => number) => median(all.map(what));
  const completed = of((one) => one.completed);
  const memory = [0, 1].map((index) => Math.max(...all.map((one) => one.memory[index] as number)) / 1_048_576);
  return [
    String(rows),
    ...[of((one) => one.copy), of((one) => one.received), completed].map((seconds) => seconds.toFixed(2)),
    (rows / completed).toFixed(0),
    (of((one) => one.copy) / completed).toFixed(3),
    ...memory.map((mib) => mib.toFixed(0)),
  ];
}

async function once(path: string, rows: number): Promise<Measured> {
  const database = await scratchDatabase(serverUrl as string, 'reports');
  const owner = new pg.Client({ connectionString: database.url });
  await owner.connect();
  try {
    const service = await NightService.start(database, {}, apiHeap);
    try {
      return await reconcile(service, owner, path, rows);
    } finally {
      await service.stop();
    }
  } finally {
    await owner.end();
    await database.drop();
  }
}

/** On a database of its own. */
async function byRows(rows: number): Promise<number> {
  const database = await scratchDatabase(serverUrl as string, 'rows');
  const owner = new pg.Client({ connectionString: database.url });
  await owner.connect();
  try {
    const merchantId = firstSnowflakeAt(Date.now());
    await fillPayments(owner, String(merchantId), rows);
    return await matchByRows(database.runtimeUrl, merchantId, join(folder, `${rows}.csv`));
  } finally {
    await owner.end();
    await database.drop();
  }
}

async function reconcile(service: NightService, owner: pg.Client, path: string, rows: number): Promise<Measured> {
  const facts = { name: 'Report', time_zone: 'UTC', settlement_cutoff: '00:00', currencies: ['EUR'] };
  const merchant = await service.clientOf()('POST', '/v1/merchants', facts);
  await fillPayments(owner, merchant.id, rows);
  const copy = await copyFile(owner, path);
  const before = [peakMemoryOf(service.api.pid) ?? Number.NaN, service.worker.peakMemory()];
  const startedAt = performance.now();
  const since = () => (performance.now() - startedAt) / 1_000;
  const { id } = await upload(service, merchant.id, path);
  const received = since();
  const report = await completed(service, merchant.id, id);
  const seconds = since();
  const unknown = Math.ceil(rows / BREAK_EVERY);
  if (report.rows !== rows || report.matched !== rows - unknown || report.breaks.open !== unknown)
    throw new Error(`not as it was told: ${JSON.stringify(report)}`);
  const memory = [peakMemoryOf(service.api.pid) ?? Number.NaN, service.worker.peakMemory()] as const;
  const [api, worker] = before.map((bytes) => ((bytes as number) / 1_048_576).toFixed(0));
  console.error(`# ${rows} rows in ${seconds.toFixed(2)} s; before it API ${api} MiB, worker ${worker} MiB`);
  return { copy, received, completed: seconds, memory };
}

async function upload({ api }: NightService, merchantId: string, path: string): Promise<{ id: string }> {
  const sending = request(`http://127.0.0.1:${api.port}/v1/reconciliations?source=generic`, {
    method: 'POST',
    headers: headersOf(merchantId, { 'content-type': 'text/csv' }),
  });
  const answer = new Promise<string>((resolve, reject) => {
    sending.once('error', reject);
    sending.once('response', (response) => text(response).then(resolve, reject));
  });
  await pipeline(createReadStream(path), sending);
  return JSON.parse(await answer);
}

// biome-ignore lint/suspicious/noExplicitAny: what the API answers is as its document says.
async function completed({ api }: NightService, merchantId: string, id: string): Promise<any> {
  const end = performance.now() + WITHIN_MS;
  for (;;) {
    const url = `http://127.0.0.1:${api.port}/v1/reconciliations/${id}`;
    const response = await fetch(url, { headers: headersOf(merchantId) });
    // biome-ignore lint/suspicious/noExplicitAny: as above.
    const report: any = await response.json();
    if (report.status === 'completed') return report;
    if (report.status === 'failed' || performance.now() > end) throw new Error(`it is ${JSON.stringify(report)}`);
    await sleep(POLL_MS);
  }
}

function headersOf(merchantId: string, more: Record<string, string> = {}): Record<string, string> {
  return { authorization: `Bearer ${OPERATOR_KEY}`, 'counterfoil-merchant': merchantId, ...more };
}
