import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Build, Service } from './histories/servers.js';
import { Client, type Json, transfer } from './support/api.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import {
  ACME_SECRET,
  ADYEN_SECRET,
  type Signed,
  STRIPE_SECRET,
  stripeCharge,
  stripeEvent,
  stripeSigned,
} from './support/provider-senders.js';
import { type PrivateRedis, privateRedis } from './support/redis.js';
import { SpanReceiver } from './support/span-receiver.js';
import { until } from './support/until.js';
import { status, WebhookSink } from './support/webhook-sink.js';
import { formsOf, keysOf, tablesOf } from './support/written.js';

const OPERATOR_KEY = `cfo_${'7'.repeat(40)}`;
const IDEMPOTENCY_KEY = 'idempotency-key-of-the-clients-own';
/** Of a receiver's URL; only the endpoint's row has it. */
const URL_TOKEN = 'token-that-only-the-receiver-knows';
/** Of a provider's body; only the inbox has it. */
const BODY_MARK = 'a-description-of-the-charge';
const PROVIDERS = { stripe: STRIPE_SECRET, adyen: ADYEN_SECRET, acme: ACME_SECRET };

let build: Build;
let on: TestDatabase;
let redis: PrivateRedis[];
let spans: SpanReceiver;
let sink: WebhookSink;
let services: Service[];
let url: string;
const output = new Map<string, string>();

beforeAll(async () => {
  build = new Build(undefined);
  on = await freshDatabase();
  redis = await Promise.all([
    privateRedis('cache', randomBytes(12).toString('hex')),
    privateRedis('queue', randomBytes(12).toString('hex')),
  ]);
  spans = await SpanReceiver.open();
  sink = await WebhookSink.open(status(500, {}, 'no'));
  const env = {
    PATH: process.env.PATH,
    DATABASE_URL: on.ownerUrl,
    DATABASE_RUNTIME_URL: on.runtimeUrl,
    REDIS_URL: redis[0]?.url,
    REDIS_QUEUE_URL: redis[1]?.url,
    COUNTERFOIL_OPERATOR_KEY: OPERATOR_KEY,
    PORT: '0',
    LOG_LEVEL: 'trace',
    OTEL_EXPORTER_OTLP_ENDPOINT: spans.url,
    TRACE_SAMPLE_RATIO: '1',
    WEBHOOK_ALLOW_LOOPBACK: '1',
    // What was running when its Redis broke comes again once its lock has passed, and what it forgot is dispatched again.
    CONSUMER_JOB_LOCK_MS: '1000',
    RELAY_RESEND_MS: '2000',
    WEBHOOK_POLL_MS: '20',
    WEBHOOK_RETRY_SCHEDULE_S: '1,1,1,1',
  };
  services = ['api', 'worker'].map((name) => new Service(name, build, `dist/apps/${name}/src/main.js`, env));
  for (const service of services) {
    service.onOutput = (text) => output.set(service.name, (output.get(service.name) ?? '') + text);
    await service.start();
  }
  url = services[0]?.url as string;
});
afterAll(async () => {
  for (const service of services) await service.end('SIGKILL');
  await Promise.all([spans.close(), sink.close(), ...redis.map((one) => one.stop())]);
  await on.drop();
  build.remove();
});

const bearer = (key: string) => new Client(url, { authorization: `Bearer ${key}` });

/** A secret where it does not belong: nothing of it may be kept. */
async function misplace(secret: string, client: Client): Promise<void> {
  const encoded = encodeURIComponent(secret);
  const body = transfer('cash:EUR', 'suspense:EUR', '1');
  const asks: [method: string, path: string, ask?: object][] = [
    ['GET', `/v1/accounts/${encoded}`],
    ['GET', `/v1/accounts/${encoded}/balance`],
    ['GET', `/v1/accounts?api_key=${encoded}`],
    ['GET', `/v1/accounts?cursor=${encoded}`],
    ['GET', `/v1/transactions?external_ref=${encoded}&limit=${encoded}`],
    ['GET', `/${encoded}`],
    ['GET', `/v1/accounts/%zz${encoded}`],
    ['DELETE', `/v1/webhook_endpoints/${encoded}`],
    ...['x-api-key', 'cookie', 'user-agent', 'referer', 'traceparent', 'tracestate', 'baggage', 'idempotency-key'].map(
      (name): [string, string, object] => ['GET', '/v1/accounts', { headers: { [name]: secret } }],
    ),
    ['GET', '/v1/accounts', { headers: { 'counterfoil-merchant': secret } }],
    ['GET', '/v1/accounts', { headers: { authorization: secret } }],
    ['GET', '/v1/accounts', { headers: { authorization: `Basic ${Buffer.from(secret).toString('base64')}` } }],
    ['POST', '/v1/transactions', { key: 'k', raw: `{"type": "${secret}` }],
    ['POST', '/v1/transactions', { key: 'k', body: { ...body, [secret]: secret } }],
    ['POST', '/v1/transactions', { key: 'k', body: { ...body, type: `${secret} ${secret}` } }],
    ['POST', '/v1/transactions', { key: `${secret}\u00e9`, body }],
    ['POST', '/v1/webhook_endpoints', { body: { url: `ftp://${encoded}@127.0.0.1/` } }],
  ];
  for (const [method, path, ask] of asks) {
    const answer = await client.request(method, path, ask);
    expect.soft([method, path, ask, answer.status >= 500]).toEqual([method, path, ask, false]);
  }
}

test('no secret is in a log, a span, a job, a cache or a table, whatever is done with it', async () => {
  const operator = bearer(OPERATOR_KEY);
  const shop = { name: 'Shop', time_zone: 'UTC', settlement_cutoff: '00:00', currencies: ['EUR'] };
  const merchant = (await operator.post('/v1/merchants', { body: shop, key: 'merchant' })).body;
  const issued = (await operator.post(`/v1/merchants/${merchant.id}/api_keys`, { key: 'issue' })).body;
  const client = bearer(merchant.api_key.secret);
  const endpoint = { url: `${sink.url}?token=${URL_TOKEN}` };
  const { secret: webhookSecret, id } = (await client.post('/v1/webhook_endpoints', { body: endpoint, key: 'hook' }))
    .body;
  const rotated = (await client.post(`/v1/webhook_endpoints/${id}/rotate_secret`, { key: 'rotate' })).body.secret;
  const post = (key: string) =>
    client.post('/v1/transactions', { body: transfer('cash:EUR', 'suspense:EUR', '5'), key });
  for (const [provider, webhook_secret] of Object.entries(PROVIDERS)) {
    expect((await client.request('PUT', `/v1/providers/${provider}`, { body: { webhook_secret } })).status).toBe(200);
  }
  const charged = stripeSigned(stripeEvent('charge.succeeded', stripeCharge('1', { description: BODY_MARK })));
  const signature = charged.headers['stripe-signature']?.split('v1=')[1] as string;
  const webhook = (ask: Signed) => client.request('POST', `/v1/providers/stripe/merchants/${merchant.id}/webhook`, ask);
  const answers = [charged, { ...charged, raw: `${charged.raw} ` }, stripeSigned(`no JSON ${BODY_MARK}`)];
  const told = await Promise.all(answers.map(webhook));
  expect(told.map(({ status }) => status)).toEqual([200, 401, 400]);
  for (const { text } of told) expect(text).not.toContain(BODY_MARK);
  const posted = await post(IDEMPOTENCY_KEY);
  expect([posted.status, (await post(IDEMPOTENCY_KEY)).headers.get('idempotent-replayed')]).toEqual([201, 'true']);
  await until('the receiver has refused it', () => sink.received.length >= 3);

  const secrets: Record<string, string> = {
    'the operator’s key': OPERATOR_KEY,
    'the merchant’s key': merchant.api_key.secret,
    'another key of the merchant’s': issued.secret,
    'the webhook secret': webhookSecret,
    'the rotated webhook secret': rotated,
    'the token of the URL': URL_TOKEN,
    'Stripe’s secret': STRIPE_SECRET,
    'Adyen’s key': ADYEN_SECRET,
    'the secret of a provider’s own': ACME_SECRET,
    'a signature of Stripe’s': signature,
    'what Stripe sent': BODY_MARK,
  };
  for (const secret of Object.values(secrets)) {
    expect(secret).toMatch(/.{20}/);
    await misplace(secret, client);
  }
  await misplace(merchant.api_key.secret, operator);

  const inRedis = async () => `${await keysOf(redis[0]?.url as string)}\n${await keysOf(redis[1]?.url as string)}`;
  const before = await inRedis();
  await breakThings(merchant.id);
  const health = async () => (await post('after')).status;
  await until('it posts again', async () => (await health()) < 300);
  const hasDeadLetter = async () =>
    ((await operator.get('/v1/dead_letters')).body.data as Json[]).some(
      (letter) => letter.event?.version === 99 || letter.event_version === 99,
    );
  await until('an event has become a dead letter', hasDeadLetter, 90_000);

  const after = await inRedis();
  for (const service of services) await service.end('SIGTERM');
  const written = new Map([
    ...[...output].map(([name, text]): [string, string] => [`the log of the ${name}`, text]),
    ['spans', spans.text],
    ['Redis', `${before}\n${after}`],
    ...[...(await tablesOf(on.ownerUrl))].map(([name, text]): [string, string] => [`table ${name}`, text]),
  ]);

  // What is looked through holds what it should: this would find something.
  for (const name of [
    'the log of the api',
    'spans',
    'Redis',
    'table transactions',
    'table dead_letters',
    'table events',
  ])
    expect.soft(written.get(name), name).toContain(merchant.id);
  expect(written.get('Redis')).toContain(':events-webhooks:');
  expect(written.get('the log of the worker')?.length).toBeGreaterThan(200);
  expect(found(merchant.id, written).length).toBeGreaterThan(8);

  const passwords = [on.ownerUrl, on.runtimeUrl, ...redis.map((one) => one.url)].map((one) => new URL(one).password);
  const kept: Record<string, string[]> = {
    'the webhook secret': ['table webhook_secrets'],
    'the rotated webhook secret': ['table webhook_secrets'],
    'the token of the URL': ['table idempotency_keys', 'table webhook_endpoints'],
    'Stripe’s secret': ['table provider_secrets'],
    'Adyen’s key': ['table provider_secrets'],
    'the secret of a provider’s own': ['table provider_secrets'],
    'what Stripe sent': ['table provider_inbox'],
    'the idempotency key': ['table idempotency_keys'],
  };
  const looked = [
    ...Object.entries(secrets),
    ['the idempotency key', IDEMPOTENCY_KEY] as const,
    ...passwords.map((password, index) => [`password ${index}`, password] as const),
  ];
  for (const [name, secret] of looked) expect.soft(found(secret, written), name).toEqual(kept[name] ?? []);
}, 180_000);

/** Where any form of it stands. */
function found(secret: string, written: ReadonlyMap<string, string>): string[] {
  const forms = formsOf(secret).filter((form) => form.length > 7);
  return [...written].filter(([, text]) => forms.some((form) => text.includes(form))).map(([name]) => name);
}

/** Errors of all kinds have messages, and messages have been known to tell: servers away, and an event of tomorrow. */
async function breakThings(merchantId: string): Promise<void> {
  await asAdmin(on.ownerUrl, async (owner) => {
    await owner.query(
      `INSERT INTO events (merchant_id, type, version, occurred_at, data) VALUES ($1, 'transaction.posted', 99, now(), '{}')`,
      [merchantId],
    );
    await owner.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
    );
  });
  for (const one of redis) await one.crash();
}
