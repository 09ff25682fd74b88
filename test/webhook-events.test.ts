import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { readEvent } from '#outbox/log/catalogue.js';
import {
  CreateWebhookEndpointCommand,
  CreateWebhookEndpointHandler,
  DeleteWebhookEndpointCommand,
  DeleteWebhookEndpointHandler,
  EnableWebhookEndpointCommand,
  EnableWebhookEndpointHandler,
  type EndpointWithSecret,
} from '#webhooks/endpoint.commands.js';
import type { WebhookEndpoint } from '#webhooks/endpoint-store.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { status, WebhookSink } from './support/webhook-sink.js';
import { asItIs, NO_REDIS, TestWebhooks } from './support/webhooks.js';

/** A path is often what only the receiver may know, and all that keeps strangers out. */
const PATH = '/services/T01/B02/s3cr3t';
const OVERLAP_MS = 60_000;

let on: TestDatabase;
let hooks: TestWebhooks;
let sink: WebhookSink;

beforeAll(async () => {
  on = await freshDatabase();
  hooks = await TestWebhooks.open(on);
});
afterAll(async () => {
  await hooks.close();
  await on.drop();
});
beforeEach(async () => {
  sink = await WebhookSink.open();
});
afterEach(() => sink.close());

const enable = (merchantId: bigint, endpointId: bigint) =>
  new EnableWebhookEndpointHandler(hooks.requests, hooks.hints, hooks.ids).execute(
    new EnableWebhookEndpointCommand(hooks.context(merchantId), endpointId, asItIs<WebhookEndpoint>()),
  );
const remove = (merchantId: bigint, endpointId: bigint) =>
  new DeleteWebhookEndpointHandler(hooks.database, hooks.ids).execute(
    new DeleteWebhookEndpointCommand(hooks.context(merchantId), endpointId),
  );

/** What a merchant's log tells of its endpoints: each validated against today's shape. */
async function told(merchantId: bigint) {
  const log = (await hooks.log(merchantId)).filter(({ type }) => type.startsWith('webhook_endpoint.'));
  return log.map((logged) => ({ type: logged.type, data: readEvent(logged).data, logged }));
}

/** Disables an endpoint by an answer. */
async function disable(merchantId: bigint, endpointId: bigint): Promise<void> {
  await hooks.append(merchantId, 1);
  await hooks.fanOut(merchantId);
  sink.respond = status(410);
  const sender = hooks.sender();
  await hooks.sendUntil(sender, 'it is disabled', () => sender.counts.disabled === 1);
  await sender.idle();
  expect(await hooks.shown(merchantId, endpointId)).toMatchObject({ status: 'disabled' });
  sink.respond = status(200);
}

describe('each change of an endpoint', () => {
  test('is told once, in its order, by whom the trace leads to, without secrets and without the path', async () => {
    const merchantId = await hooks.ledger.createMerchant();
    const { id, secret } = await hooks.endpoint(merchantId, sink.url + PATH, ['account.created'], 'strict');
    const rotated = await hooks.rotate(merchantId, id, OVERLAP_MS);
    await disable(merchantId, id);
    await enable(merchantId, id);
    await enable(merchantId, id);
    await remove(merchantId, id);
    await expect(remove(merchantId, id)).rejects.toMatchObject({ code: 'not_found' });
    await expect(hooks.rotate(merchantId, id, OVERLAP_MS)).rejects.toMatchObject({ code: 'not_found' });
    const endpoint_id = String(id);
    const { host } = new URL(sink.url);
    const events = await told(merchantId);
    expect(events.map(({ type, data }) => [type, data])).toEqual([
      ['webhook_endpoint.created', { endpoint_id, host, event_types: ['account.created'], ordering: 'strict' }],
      ['webhook_endpoint.secret_rotated', { endpoint_id }],
      ['webhook_endpoint.disabled', { endpoint_id, host, reason: 'gone', failing_since: expect.any(String) }],
      ['webhook_endpoint.enabled', { endpoint_id }],
      ['webhook_endpoint.deleted', { endpoint_id }],
    ]);
    for (const { type, logged } of events)
      if (type !== 'webhook_endpoint.disabled') expect(logged.traceContext).toMatch(/^00-[0-9a-f]{32}-/);
    const text = events.map(({ logged }) => logged.data).join();
    for (const hidden of [PATH, secret, rotated, 'whsec_']) expect(text).not.toContain(hidden);
  });

  test('is told together with what changes, or neither is there', async () => {
    const merchantId = await hooks.ledger.createMerchant();
    const context = hooks.context(merchantId);
    const create = (webhookEndpointsPerMerchant: number, key: string) =>
      new CreateWebhookEndpointHandler(hooks.requests, hooks.ids).execute(
        new CreateWebhookEndpointCommand(
          context,
          { url: sink.url, eventTypes: null, ordering: 'none' },
          { ...NO_REDIS, webhookEndpointsPerMerchant },
          {
            idempotency: { key, requestSha256: Buffer.alloc(32, 1) },
            status: 201,
            bodyOf: ({ endpoint }: EndpointWithSecret) => ({ body: { id: String(endpoint.id) } }),
          },
        ),
      );
    const first = await create(1, 'a');
    // A replay makes nothing again; one too many makes nothing.
    expect(await create(1, 'a')).toEqual({ ...first, replayed: true });
    await expect(create(1, 'b')).rejects.toMatchObject({ code: 'validation_failed' });
    expect((await told(merchantId)).map(({ type, data }) => [type, data])).toEqual([
      ['webhook_endpoint.created', expect.objectContaining({ endpoint_id: (first.body as { id: string }).id })],
    ]);
  });

  test('goes to the merchant’s other endpoints, and a rotation to its own, signed by both secrets', async () => {
    const merchantId = await hooks.ledger.createMerchant();
    const all = await hooks.endpoint(merchantId, `${sink.url}/all`);
    const accounts = await hooks.endpoint(merchantId, `${sink.url}/accounts`, ['account.created']);
    await hooks.rotate(merchantId, all.id, OVERLAP_MS);
    await remove(merchantId, accounts.id);
    await hooks.fanOut(merchantId);
    await hooks.sendAll(hooks.sender(), merchantId, all.id);
    expect(sink.received.map(({ path, body }) => [path, body.type, body.data.endpoint_id])).toEqual([
      ['/hooks/all', 'webhook_endpoint.created', String(accounts.id)],
      ['/hooks/all', 'webhook_endpoint.secret_rotated', String(all.id)],
      ['/hooks/all', 'webhook_endpoint.deleted', String(accounts.id)],
    ]);
    const [, rotation] = sink.received;
    expect(rotation?.headers['webhook-signature']?.toString().split(' ')).toHaveLength(2);
  });
});
