import type { ServerResponse } from 'node:http';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { DeliveryStore } from '#webhooks/delivery-store.js';
import { Bystander } from './support/bystander.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { until } from './support/until.js';
import { status, WebhookSink } from './support/webhook-sink.js';
import { senderOptions, TestWebhooks } from './support/webhooks.js';

/** Longer than any test: what arrives was not found by the safety round, and nothing that hangs is given up. */
const PATIENT = { pollMs: 600_000, timeoutMs: 60_000, headersTimeoutMs: 60_000, slowMs: 60_000 };

let on: TestDatabase;
let bystander: Bystander;
let hooks: TestWebhooks;
let hanging: WebhookSink;
let quick: WebhookSink;
/** What hangs. */
const unanswered: ServerResponse[] = [];

beforeAll(async () => {
  on = await freshDatabase();
  [bystander, hooks] = await Promise.all([Bystander.open(on), TestWebhooks.open(on)]);
});
afterAll(async () => {
  await Promise.all([hooks.close(), bystander.close()]);
  await on.drop();
});
beforeEach(async () => {
  unanswered.length = 0;
  hanging = await WebhookSink.open((response) => void unanswered.push(response));
  quick = await WebhookSink.open();
});
afterEach(async () => {
  await Promise.all([hanging.close(), quick.close()]);
  // What a test leaves due is no other test's.
  await bystander.client.query(`UPDATE webhook_deliveries SET status = 'failed' WHERE status = 'due'`);
});

/** A merchant with so many endpoints at `url`, to each of which one delivery is due. */
async function merchantWith(endpoints: number, url: string): Promise<bigint> {
  const merchantId = await hooks.ledger.createMerchant();
  for (let made = 0; made < endpoints; made += 1) await hooks.endpoint(merchantId, url, ['account.created']);
  await more(merchantId);
  return merchantId;
}

async function more(merchantId: bigint, count = 1): Promise<void> {
  await hooks.append(merchantId, count);
  await hooks.fanOut(merchantId);
}

const arrived = (sink: WebhookSink, count: number): Promise<boolean> =>
  until(`${count} have arrived`, () => sink.received.length >= count);

test('a neighbour’s delivery goes out before any is answered of three merchants whose endpoints hang, as many as there are requests', async () => {
  for (let merchants = 0; merchants < 3; merchants += 1) await merchantWith(4, hanging.url);
  const sender = hooks.sender({ ...PATIENT, concurrency: 12, merchantConcurrency: 3 });
  sender.start();
  await arrived(hanging, 9);
  const neighbour = await merchantWith(1, quick.url);
  sender.wake([neighbour]);
  await until('it is delivered', () => sender.counts.delivered === 1);
  expect([hanging.received.length, hanging.most, unanswered.length]).toEqual([9, 9, 9]);
});

test('by default three merchants with nineteen endpoints each that hang delay no delivery of a neighbour’s', async () => {
  const slow = await Promise.all([1, 2, 3].map(() => merchantWith(19, hanging.url)));
  const theirs = 3 * senderOptions().merchantConcurrency;
  const sender = hooks.sender(PATIENT);
  sender.start();
  await arrived(hanging, theirs);
  const neighbour = await merchantWith(1, quick.url);
  sender.wake([neighbour]);
  for (let delivered = 1; delivered <= 10; delivered += 1) {
    await until('it is delivered', () => sender.counts.delivered === delivered);
    await more(neighbour);
    sender.wake([...slow, neighbour]);
  }
  // Not one of theirs has been answered.
  expect([hanging.received.length, unanswered.length]).toEqual([theirs, theirs]);
  hanging.respond = status(200);
  for (const response of unanswered) response.writeHead(200).end();
  await arrived(hanging, 57);
});

test('requests that are slow give their room to others, however many merchants they are of', async () => {
  const merchants = await Promise.all(Array.from({ length: 4 }, () => merchantWith(1, hanging.url)));
  const sender = hooks.sender({ ...PATIENT, concurrency: 2, merchantConcurrency: 2, slowMs: 20, slowConcurrency: 4 });
  sender.start();
  await arrived(hanging, merchants.length);
  const neighbour = await merchantWith(1, quick.url);
  sender.wake([neighbour]);
  await until('it is delivered', () => sender.counts.delivered === 1);
  expect([unanswered.length, sender.rooms.slow]).toEqual([4, 4]);
});

test('slow requests have an end of their own: beyond it they keep their room', async () => {
  await Promise.all(Array.from({ length: 5 }, () => merchantWith(1, hanging.url)));
  const sender = hooks.sender({ ...PATIENT, concurrency: 2, merchantConcurrency: 2, slowMs: 20, slowConcurrency: 1 });
  sender.start();
  await arrived(hanging, 3);
  unanswered[0]?.writeHead(200).end();
  await arrived(hanging, 4);
  await until('one more is slow', () => sender.rooms.slow === 1);
  expect(hanging.most).toBe(3);
});

test('merchants are claimed in turn, who has least in hand first', async () => {
  const [busy, idle] = [await merchantWith(4, hanging.url), await merchantWith(2, hanging.url)];
  // Its endpoints have waited for longer than any other.
  await bystander.client.query(
    `UPDATE webhook_endpoints SET lease_expires_at = now() - interval '1 hour' WHERE merchant_id = $1`,
    [busy],
  );
  await bystander.client.query(
    `UPDATE webhook_endpoints SET lease_expires_at = now() - interval '1 minute' WHERE merchant_id = $1`,
    [idle],
  );
  const store = new DeliveryStore(hooks.database);
  const claimed = async (limit: number, inHand: number[], most: number): Promise<bigint[]> => {
    const leases = await store.claim([busy, idle], { leaseMs: 60_000, limit, inHand, most });
    await Promise.all(leases.map((lease) => store.release(lease)));
    return leases.map(({ merchantId }) => merchantId).sort();
  };
  expect(await claimed(2, [0, 0], 10)).toEqual([busy, idle]);
  expect(await claimed(2, [2, 0], 10)).toEqual([idle, idle]);
  expect(await claimed(10, [1, 0], 3)).toEqual([busy, busy, idle, idle]);
  expect(await claimed(10, [3, 0], 3)).toEqual([idle, idle]);
});

test('a merchant’s endpoints beyond its part wait for one another, and all get theirs', async () => {
  const merchantId = await merchantWith(5, quick.url);
  const sender = hooks.sender({ ...PATIENT, concurrency: 10, merchantConcurrency: 1 });
  sender.start();
  await until('all are delivered', () => sender.counts.delivered === 5);
  await more(merchantId, 3);
  sender.wake([merchantId]);
  await until('so is what comes later', () => sender.counts.delivered === 20);
  expect(quick.most).toBe(1);
});

test('an endpoint that has much due takes no room beyond its merchant’s part, and makes room for the merchant’s other ones', async () => {
  const merchantId = await hooks.ledger.createMerchant();
  await hooks.endpoint(merchantId, hanging.url, ['account.created'], 'none');
  await more(merchantId, 20);
  const sender = hooks.sender({ ...PATIENT, concurrency: 10, endpointConcurrency: 10, merchantConcurrency: 3 });
  sender.start();
  await arrived(hanging, 3);
  await hooks.endpoint(merchantId, quick.url, ['account.created'], 'none');
  await more(merchantId);
  sender.wake([merchantId]);
  await until('a look has ended', async () => (await sender.round()) === 0);
  expect(hanging.most).toBe(3);
  unanswered.shift()?.writeHead(200).end();
  await until('the other one has its own', () => quick.received.length === 1);
  expect(hanging.most).toBe(3);
});
