import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { Build, Service } from './histories/servers.js';
import { Client, type Json, OPERATOR_KEY } from './support/api.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { until } from './support/until.js';
import { Upload } from './support/uploads.js';
import { startWorker } from './support/worker.js';

const MIB = 1_048_576;
/** What a report of 200 MB may have in memory more than one of 60 MB: the young generation, two batches, the kernel's buffers. */
const FLAT_KIB = 64 * 1_024;
const FAST = { RECONCILIATION_INTERVAL_MS: '200', RECONCILIATION_SILENCE_MS: '1000' };

let build: Build;
let on: TestDatabase;
let service: Service;

beforeAll(async () => {
  build = new Build(undefined);
  on = await freshDatabase();
  service = new Service('api', build, 'dist/apps/api/src/main.js', {
    PATH: process.env.PATH,
    DATABASE_URL: on.ownerUrl,
    DATABASE_RUNTIME_URL: on.runtimeUrl,
    REDIS_URL: inject('redisUrl'),
    COUNTERFOIL_OPERATOR_KEY: OPERATOR_KEY,
    PORT: '0',
    NODE_OPTIONS: '--max-old-space-size=128',
    RECONCILIATION_STAGE_ROWS: '2000',
  });
  await service.start();
});
afterAll(async () => {
  await service.end('SIGKILL');
  await on.drop();
  build.remove();
});

const there = (): { url: string } => ({ url: service.url as string });
const operator = (headers: Record<string, string> = {}) =>
  new Client(service.url as string, { authorization: `Bearer ${OPERATOR_KEY}`, ...headers });

async function newMerchant(): Promise<string> {
  const shop = { name: 'Shop', time_zone: 'UTC', settlement_cutoff: '00:00', currencies: ['EUR'] };
  return (await operator().post('/v1/merchants', { body: shop })).body.id;
}

const rowsOf = (table: string, merchantId: string): Promise<number> =>
  asAdmin(on.ownerUrl, async (owner) => {
    const { rows } = await owner.query(`SELECT count(*)::int AS count FROM ${table} WHERE merchant_id = $1`, [
      merchantId,
    ]);
    return rows[0].count;
  });

const HEAD = 'reference,object_ref,type,gross,fee,net,currency,occurred_at,batch,note\n';
const NOTE = 'n'.repeat(2_000);
/** Long rows: their readers have much to read and PostgreSQL has little to write. */
function piece(from: number, bytes: number): string {
  const rows: string[] = [];
  for (let row = 0; row * NOTE.length < bytes; row += 1) {
    rows.push(`pay-${from + row},,payment,100,0,100,EUR,2026-11-20T10:00:00Z,,${NOTE}\n`);
  }
  return rows.join('');
}

async function sendMiB(sending: Upload, mebibytes: number): Promise<void> {
  for (let sent = 0; sent < mebibytes; sent += 1) await sending.send(piece(sent * 10_000, MIB));
}

/** The most that the process has had in memory. */
const peakKiB = (): number => {
  const [, peak] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${service.pid}/status`, 'utf8')) ?? [];
  return Number(peak);
};

test('a report of 200 MB takes no more memory than one of 60 MB', async () => {
  const merchantId = await newMerchant();
  const upload = async (mebibytes: number): Promise<Json> => {
    const sending = new Upload(there(), { merchantId });
    await sending.send(HEAD);
    await sendMiB(sending, mebibytes);
    return (await sending.end()).body;
  };
  expect((await upload(60)).status).toBe('matching');
  const before = peakKiB();
  expect(await upload(200)).toMatchObject({ status: 'matching', rows_bad: 0 });
  expect(peakKiB() - before).toBeLessThan(FLAT_KIB);
}, 300_000);

test('of a report whose process is killed as it comes nothing is left, once a worker has seen to it', async () => {
  const merchantId = await newMerchant();
  const sending = new Upload(there(), { merchantId });
  await sending.send(HEAD);
  await sendMiB(sending, 20);
  await until('some is staged', async () => (await rowsOf('report_staging', merchantId)) > 0);
  await service.crash();
  await service.start();
  const stop = await startWorker(on, FAST);
  try {
    const list = () => operator({ 'counterfoil-merchant': merchantId }).get('/v1/reconciliations');
    const [report] = await until('it is failed', async () => {
      const { data } = (await list()).body;
      return data[0].status === 'failed' && (data as Json[]);
    });
    expect(report.failure).toContain('has died');
  } finally {
    await stop();
  }
  for (const table of ['report_staging', 'report_bad_rows', 'report_rows', 'breaks']) {
    expect(await rowsOf(table, merchantId)).toBe(0);
  }
});
