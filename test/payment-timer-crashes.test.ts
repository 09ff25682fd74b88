import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { Build, Service } from './histories/servers.js';
import { TestApi } from './support/api.js';
import { Bystander } from './support/bystander.js';
import { DuePayments } from './support/due-payments.js';
import { ACME_SECRET } from './support/provider-senders.js';
import { until } from './support/until.js';
import { expectVerified } from './support/verified.js';
import { WebhookSink } from './support/webhook-sink.js';

const LIMIT_MS = 180_000;
const WEEK_S = 8 * 86_400;

let build: Build;
let api: TestApi;
let bystander: Bystander;
let due: DuePayments;
let workers: [Service, Service];

beforeAll(() => {
  build = new Build(undefined);
}, LIMIT_MS);
afterAll(() => build.remove());
beforeEach(async () => {
  api = await TestApi.start({ environment: { WEBHOOK_ALLOW_LOOPBACK: '1' } });
  bystander = await Bystander.open(api.on);
  due = new DuePayments(api, await api.merchant(), bystander);
  const env = {
    PATH: process.env.PATH,
    DATABASE_URL: api.on.ownerUrl,
    DATABASE_RUNTIME_URL: api.on.runtimeUrl,
    REDIS_QUEUE_URL: inject('redisQueueUrl'),
    PAYMENT_TIMERS_POLL_MS: '50',
    WEBHOOK_ALLOW_LOOPBACK: '1',
  };
  const worker = (name: string): Service => new Service(name, build, 'dist/apps/worker/src/main.js', env);
  workers = [worker('one worker'), worker('other worker')];
});
afterEach(async () => {
  await Promise.all(workers.map((worker) => worker.crash()));
  expect(api.errors).toEqual([]);
  await expectVerified(api.on);
  await bystander.close();
  await api.stop();
});

/** What a killed worker had claimed is free, as after its lease. */
const leasesEnd = () => bystander.client.query('UPDATE due_rows SET try_at = due_at');

test(
  'a worker that is killed between what is due and its effect: another one does it, once',
  async () => {
    const { id } = await due.open();
    await due.tell('p1', 'refunded', { amount: '300' });
    await due.age(id, WEEK_S);
    await due.pass('parked_fact', WEEK_S);
    const [one, other] = workers;
    await bystander.lockBalance(BigInt(due.shop.accounts['merchant_payable:EUR'] as string));
    await one.start();
    await bystander.untilWaiting();
    await one.crash();
    await bystander.release();
    expect(await due.get(id)).toMatchObject({ status: 'authorised', amount_capturable: '1000' });
    await leasesEnd();
    await other.start();
    await until('the payment has expired', async () => (await due.get(id)).status === 'expired');
    const letters = await until('the fact is a dead letter', async () => {
      const { data } = (await api.operator.get('/v1/dead_letters?consumer=payment_facts')).body;
      return data.length > 0 && data;
    });
    expect(letters).toHaveLength(1);
    const { timeline } = await due.get(id);
    expect(timeline.filter(({ type }: { type: string }) => type === 'expired')).toHaveLength(1);
    const rows = async () => [...(await due.due('payment_expiry')), ...(await due.due('parked_fact'))];
    await until('nothing is due any more', async () => (await rows()).length === 0);
  },
  LIMIT_MS,
);

test(
  'a worker that is killed while a provider is asked: another one asks again, and the answer counts once',
  async () => {
    const answer = JSON.stringify({
      events: [
        {
          event_id: 'e1',
          payment_ref: 'p1',
          type: 'captured',
          sequence: 1,
          amount: '500',
          currency: 'EUR',
          occurred_at: new Date(Date.now() - 60_000).toISOString(),
        },
      ],
    });
    // The first question is never answered.
    let asked = 0;
    const provider = await WebhookSink.open((response) => {
      asked += 1;
      if (asked > 1) response.writeHead(200).end(answer);
    });
    try {
      const body = { webhook_secret: ACME_SECRET, query_url: provider.url, query_token: 't' };
      await due.shop.client.request('PUT', '/v1/providers/acme', { body });
      await due.tell('p1', 'refunded', { amount: '200' });
      await due.pass('payment_query', 3_600);
      const [one, other] = workers;
      await one.start();
      await until('it was asked', () => asked === 1);
      await one.crash();
      await leasesEnd();
      await other.start();
      const payment = await until(
        'the payment is known',
        async () => (await due.shop.client.get('/v1/payments?provider_ref=p1')).body.data[0],
      );
      expect(payment).toMatchObject({ amount_captured: '500', amount_refunded: '200', captures: [{ amount: '500' }] });
      await until('it is asked no more', async () => (await due.due('payment_query')).length === 0);
      expect(asked).toBe(2);
    } finally {
      await provider.close();
    }
  },
  LIMIT_MS,
);
