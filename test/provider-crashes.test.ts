import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { purgeInbox } from '#payments/providers/inbox-duties.js';
import { Build, Service } from './histories/servers.js';
import { Client, type Json, OPERATOR_KEY } from './support/api.js';
import { Bystander } from './support/bystander.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { TestLedger } from './support/ledger.js';
import { STRIPE_SECRET, stripeCharge, stripeEvent, stripeSigned } from './support/provider-senders.js';
import { until } from './support/until.js';
import { startWorker } from './support/worker.js';

const DAY_MS = 86_400_000;

let build: Build;
let on: TestDatabase;
let bystander: Bystander;
let ledger: TestLedger;
let service: Service;

beforeAll(async () => {
  build = new Build(undefined);
  on = await freshDatabase();
  bystander = await Bystander.open(on);
  ledger = await TestLedger.open(on);
  service = new Service('api', build, 'dist/apps/api/src/main.js', {
    PATH: process.env.PATH,
    DATABASE_URL: on.ownerUrl,
    DATABASE_RUNTIME_URL: on.runtimeUrl,
    COUNTERFOIL_OPERATOR_KEY: OPERATOR_KEY,
    PORT: '0',
    REDIS_URL: inject('redisUrl'),
    PROVIDER_APPLY_MS: '9000',
  });
  await service.start();
});
afterAll(async () => {
  await service.end('SIGKILL');
  await Promise.all([bystander.close(), ledger.close()]);
  await on.drop();
  build.remove();
});

const rows = async (text: string): Promise<Json[]> => (await bystander.client.query(text)).rows;

test('what is kept when its process is killed is applied by the worker, once, and stays until it has been', async () => {
  const url = service.url as string;
  const shop = { name: 'Shop', time_zone: 'UTC', settlement_cutoff: '00:00', currencies: ['EUR'] };
  const operator = new Client(url, { authorization: `Bearer ${OPERATOR_KEY}` });
  const { id, api_key } = (await operator.post('/v1/merchants', { body: shop })).body;
  const client = new Client(url, { authorization: `Bearer ${api_key.secret}` });
  await client.request('PUT', '/v1/providers/stripe', { body: { webhook_secret: STRIPE_SECRET } });
  const signed = stripeSigned(stripeEvent('charge.succeeded', stripeCharge('1')));
  const send = () => new Client(url, {}).post(`/v1/providers/stripe/merchants/${id}/webhook`, signed);

  // Whoever posts for the merchant waits for its lock: the process is killed between its two transactions.
  await bystander.client.query('BEGIN');
  await bystander.client.query('SELECT lock_merchants($1)', [`{${id}}`]);
  const answer = send().catch(() => 'no answer');
  const watcher = await Bystander.open(on);
  try {
    const inbox = async () => (await watcher.client.query('SELECT outcome FROM provider_inbox')).rows;
    await until('it is kept', async () => (await inbox()).length === 1);
    await service.end('SIGKILL');
    expect(await answer).toBe('no answer');
    await bystander.client.query('ROLLBACK');
    expect(await inbox()).toEqual([{ outcome: 'received' }]);
  } finally {
    await watcher.close();
  }
  expect(await rows('SELECT FROM payments')).toEqual([]);

  // However old it is, it is not forgotten.
  expect(await purgeInbox(ledger.database, 0, Date.now() + DAY_MS)).toBe(0);
  await bystander.client.query('UPDATE due_rows SET due_at = due_at - interval $$1 hour$$, try_at = now()');
  const stop = await startWorker(on, { PROVIDER_INBOX_POLL_MS: '50' });
  await until(
    'it is applied',
    async () => (await rows(`SELECT FROM provider_inbox WHERE outcome = 'done'`)).length === 1,
    30_000,
  );
  await stop();
  const [payment, ...more] = await rows('SELECT subject, status, amount_captured::text AS captured FROM payments');
  expect([payment, more]).toEqual([{ subject: 'stripe/pi_1', status: 'captured', captured: '10000' }, []]);
  expect(await rows(`SELECT FROM due_rows WHERE kind <> 'settlement'`)).toEqual([]);

  expect(await purgeInbox(ledger.database, DAY_MS, Date.now())).toBe(0);
  expect(await purgeInbox(ledger.database, DAY_MS, Date.now() + DAY_MS + 60_000)).toBe(1);
  expect(await rows('SELECT FROM provider_inbox')).toEqual([]);
}, 120_000);
