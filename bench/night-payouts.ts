import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { freePort } from '../scripts/ports.mjs';
import { Child } from '../scripts/services/child.mjs';
import type { NightBook } from './night-book.js';
import { NightService } from './night-service.js';

const BANK = join(import.meta.dirname, '..', 'apps', 'bank-simulator', 'src', 'main.js');
const READY_WITHIN_MS = 20_000;
const WITHIN_MS = 120_000;
const POLL_MS = 20;
const MERCHANTS = 20;

/** From the first request to the last one that is paid, a second: `each` payouts of every one of 20 merchants that are settled. */
export async function payOut(book: NightBook, each: number): Promise<{ payouts: number; perSecond: number }> {
  const copy = await book.copy();
  const port = await freePort();
  const secret = `whsec_${randomBytes(32).toString('base64')}`;
  const bank = Child.node('the bank', [BANK], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: { PATH: process.env.PATH, BANK_SECRET: secret, BANK_PORT: String(port), BANK_DELAY_MS: '0' },
  });
  const owner = new pg.Client({ connectionString: copy.url });
  let service: NightService | undefined;
  try {
    await owner.connect();
    await bank.firstWord(READY_WITHIN_MS);
    service = await NightService.start(copy, { BANK_URL: `http://127.0.0.1:${port}`, BANK_SECRET: secret });
    bank.process.send?.({ callback: `http://127.0.0.1:${service.api.port}/v1/bank/callbacks` });
    const keys = await settledMerchants(service, book.day.businessDate);
    const startedAt = performance.now();
    await Promise.all(keys.map((key) => request(service as NightService, key, each)));
    const payouts = keys.length * each;
    for (;;) {
      const { rows } = await owner.query(`SELECT count(*) FILTER (WHERE status = 'paid')::int AS paid FROM payouts`);
      if (rows[0].paid === payouts) break;
      if (performance.now() > startedAt + WITHIN_MS) throw new Error(`${rows[0].paid} payouts of ${payouts} are paid`);
      await sleep(POLL_MS);
    }
    return { payouts, perSecond: payouts / ((performance.now() - startedAt) / 1_000) };
  } finally {
    await service?.stop();
    await bank.end('SIGTERM');
    await owner.end();
    await copy.drop();
  }
}

async function settledMerchants(service: NightService, businessDate: string): Promise<string[]> {
  const operate = service.clientOf();
  const { data } = await operate('GET', `/v1/merchants?limit=${MERCHANTS}`);
  await service.settle(businessDate);
  return Promise.all(
    data.map(async ({ id }: { id: string }) => (await operate('POST', `/v1/merchants/${id}/api_keys`, {})).secret),
  );
}

/** One after the other of one merchant: they wait for its lock anyway. */
async function request(service: NightService, key: string, count: number): Promise<void> {
  const call = service.clientOf(key);
  for (let n = 0; n < count; n += 1) {
    await call('POST', '/v1/payouts', { amount: '100', currency: 'EUR', destination: 'bank_ok' }, `payout-${n}`);
  }
}
