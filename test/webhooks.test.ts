import type { ServerResponse } from 'node:http';
import { Webhook } from 'standardwebhooks';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { CATALOGUE } from '#outbox/log/catalogue.js';
import {
  EnableWebhookEndpointCommand,
  EnableWebhookEndpointHandler,
  RedeliverCommand,
  RedeliverHandler,
} from '#webhooks/endpoint.commands.js';
import { Bystander } from './support/bystander.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { until } from './support/until.js';
import { status, WebhookSink } from './support/webhook-sink.js';
import { asItIs, TestWebhooks } from './support/webhooks.js';

const DAY_MS = 86_400_000;

let on: TestDatabase;
let bystander: Bystander;
let hooks: TestWebhooks;
let sink: WebhookSink;

beforeAll(async () => {
  on = await freshDatabase();
  [bystander, hooks] = await Promise.all([Bystander.open(on), TestWebhooks.open(on)]);
});
afterAll(async () => {
  await Promise.all([hooks.close(), bystander.close()]);
  await on.drop();
});
beforeEach(async () => {
  sink = await WebhookSink.open();
});
afterEach(async () => {
  await sink.close();
  // What a test leaves due is no other test's.
  await bystander.client.query(`UPDATE webhook_deliveries SET status = 'failed' WHERE status = 'due'`);
});

function first<T>(items: readonly T[]): T {
  const [item] = items;
  if (item === undefined) throw new Error('nothing there');
  return item;
}

const redeliver = (merchantId: bigint, deliveryId: bigint) =>
  new RedeliverHandler(hooks.requests, hooks.hints).execute(
    new RedeliverCommand(hooks.context(merchantId), deliveryId, asItIs()),
  );
const enable = (merchantId: bigint, endpointId: bigint) =>
  new EnableWebhookEndpointHandler(hooks.requests, hooks.hints, hooks.ids).execute(
    new EnableWebhookEndpointCommand(hooks.context(merchantId), endpointId, asItIs()),
  );

describe('what is sent', () => {
  test('is each event once, in the order of the log, signed as Standard Webhooks has it', async () => {
    const { merchantId, endpointId, secret } = await hooks.due(sink.url, 120);
    await hooks.sendAll(hooks.sender(), merchantId, endpointId);
    expect(sink.ids).toEqual(await hooks.messageIds(merchantId));
    expect(sink.received.map(({ body }) => body.data.n)).toEqual(Array.from({ length: 120 }, (_, i) => i + 1));
    const [event] = await hooks.log(merchantId).then((log) => log.filter(({ type }) => type === 'account.created'));
    const { headers, text, body } = first(sink.received);
    expect(body).toEqual({
      id: headers['webhook-id'],
      type: 'account.created',
      version: 1,
      timestamp: new Date(event?.occurredAtMs ?? 0).toISOString(),
      data: { n: 1 },
    });
    expect(new Webhook(secret).verify(text, headers as Record<string, string>)).toEqual(body);
    expect(headers).toMatchObject({ 'content-type': 'application/json', 'user-agent': 'Counterfoil-Webhooks/1' });
    const log = await hooks.deliveries(merchantId, endpointId);
    expect(log.map(({ status: told, attempts }) => [told, attempts])).toEqual(log.map(() => ['delivered', 1]));
    expect(first(log).log).toMatchObject([{ attempt: 1, statusCode: 200, error: null, response: '' }]);
  });

  test('carries the trace of the request that caused the event', async () => {
    const merchantId = await hooks.ledger.createMerchant();
    const { id } = await hooks.endpoint(merchantId, sink.url);
    const traceContext = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    await hooks.append(merchantId, 1, { traceContext });
    await hooks.append(merchantId, 1);
    await hooks.fanOut(merchantId);
    await hooks.sendAll(hooks.sender(), merchantId, id);
    expect(sink.received.map(({ headers }) => headers.traceparent)).toEqual([traceContext, undefined]);
  });

  test('is the same however often the consumer gets its events', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 5);
    await Promise.all([hooks.fanOut(merchantId), hooks.fanOut(merchantId)]);
    await hooks.sendAll(hooks.sender(), merchantId, endpointId);
    await hooks.fanOut(merchantId);
    await hooks.sendAll(hooks.sender(), merchantId, endpointId);
    expect(sink.ids).toEqual(await hooks.messageIds(merchantId));
  });

  test('is what the endpoint asked for, of the time since it was created', async () => {
    const merchantId = await hooks.ledger.createMerchant();
    await hooks.append(merchantId, 2);
    const all = await hooks.endpoint(merchantId, `${sink.url}/all`);
    const some = await hooks.endpoint(merchantId, `${sink.url}/some`, ['account.closed', 'transaction.voided']);
    await hooks.append(merchantId, 1, { type: 'account.created' });
    await hooks.append(merchantId, 1, { type: 'account.closed' });
    const late = await hooks.endpoint(merchantId, `${sink.url}/late`);
    await hooks.append(merchantId, 1, { type: 'transaction.voided' });
    await hooks.fanOut(merchantId);
    const types = async ({ id }: { id: bigint }) =>
      (await hooks.deliveries(merchantId, id)).map(({ eventType }) => eventType);
    // The endpoints that were registered later are told to those before, never to themselves.
    const [opened, registered] = ['account.created', 'webhook_endpoint.created'];
    expect(await types(all)).toEqual([registered, opened, 'account.closed', registered, 'transaction.voided']);
    expect(await types(some)).toEqual(['account.closed', 'transaction.voided']);
    expect(await types(late)).toEqual(['transaction.voided']);
  });

  test("is each merchant's own, to its own endpoints", async () => {
    const other = await WebhookSink.open();
    const [mine, theirs] = [await hooks.due(sink.url, 10), await hooks.due(other.url, 10)];
    // One batch of the consumer holds many merchants.
    await hooks.append(mine.merchantId, 10);
    await hooks.append(theirs.merchantId, 10);
    const without = await hooks.ledger.createMerchant();
    await hooks.append(without, 1);
    // Told of are those who have something due now, and the next time nobody.
    const all = [mine.merchantId, theirs.merchantId, without];
    const left = await hooks.fanOut(...all);
    expect(new Set(left)).toEqual(new Set([mine.merchantId, theirs.merchantId]));
    expect(left).toHaveLength(2);
    expect(await hooks.fanOut(...all)).toEqual([]);
    const sender = hooks.sender();
    await hooks.sendAll(sender, mine.merchantId, mine.endpointId);
    await hooks.sendAll(sender, theirs.merchantId, theirs.endpointId);
    expect(sink.ids).toEqual(await hooks.messageIds(mine.merchantId));
    expect(other.ids).toEqual(await hooks.messageIds(theirs.merchantId));
    expect(await hooks.deliveries(mine.merchantId, theirs.endpointId)).toEqual([]);
    await other.close();
  });

  test('of an event that the log no longer keeps is nothing, and the line goes on', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 2);
    const [gone, kept] = await hooks.messageIds(merchantId);
    await bystander.client.query('DELETE FROM events WHERE merchant_id = $1 AND seq = $2', [
      merchantId,
      gone?.split('-')[1],
    ]);
    await hooks.sendAll(hooks.sender(), merchantId, endpointId);
    expect(sink.ids).toEqual([kept]);
    const log = await hooks.deliveries(merchantId, endpointId);
    expect(first(log)).toMatchObject({ status: 'failed', log: [{ error: 'event_no_longer_kept' }] });
  });
});

describe('order and concurrency', () => {
  test('nothing passes the head of a line that fails', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 30);
    const tries = new Map<string, number>();
    sink.respond = (response, { id, body }) => {
      const count = (tries.get(id) ?? 0) + 1;
      tries.set(id, count);
      // Every third event fails twice, each in a way of its own.
      if (body.data.n % 3 !== 0 || count > 2) status(200)(response);
      else if (body.data.n % 2 === 0) response.destroy();
      else status(500)(response);
    };
    await hooks.sendAll(hooks.sender(), merchantId, endpointId);
    const expected = (await hooks.messageIds(merchantId)).flatMap((id, i) => ((i + 1) % 3 === 0 ? [id, id, id] : [id]));
    expect(sink.ids).toEqual(expected);
    expect(new Set(await hooks.statuses(merchantId, endpointId))).toEqual(new Set(['delivered']));
  });

  test('an endpoint gets one request at a time from any number of workers', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 60);
    const senders = [hooks.sender(), hooks.sender(), hooks.sender()];
    await until('all is delivered', async () => {
      await Promise.all(senders.map((sender) => sender.round()));
      return !(await hooks.statuses(merchantId, endpointId)).includes('due');
    });
    expect(sink.ids).toEqual(await hooks.messageIds(merchantId));
    expect(sink.most).toBe(1);
  });

  test('an endpoint that hangs holds up no other one', async () => {
    const hanging = await WebhookSink.open(() => undefined);
    await hooks.due(hanging.url, 3);
    const { merchantId, endpointId } = await hooks.due(sink.url, 3);
    const sender = hooks.sender({ concurrency: 2, timeoutMs: 60_000, headersTimeoutMs: 60_000 });
    await hooks.sendUntil(sender, 'the other one has its own', async () => {
      return !(await hooks.statuses(merchantId, endpointId)).includes('due');
    });
    expect(hanging.received).toHaveLength(1);
    await hanging.close();
    await sender.idle();
  });

  test('there is no more in hand than WEBHOOK_CONCURRENCY says, and all get their turn', async () => {
    const endpoints = await Promise.all(Array.from({ length: 6 }, () => hooks.due(sink.url, 4)));
    const sender = hooks.sender({ concurrency: 2 });
    let busiest = 0;
    sink.respond = (response) => {
      busiest = Math.max(busiest, sender.busy);
      response.end();
    };
    await hooks.sendUntil(sender, 'all have theirs', () => sink.received.length === 24);
    expect(busiest).toBe(2);
    for (const { merchantId } of endpoints) {
      const own = new Set(await hooks.messageIds(merchantId));
      expect(sink.ids.filter((id) => own.has(id))).toEqual([...own]);
    }
    await sender.idle();
  });
});

describe('failures', () => {
  test('are retried by the schedule, and then the line goes on without the delivery', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 2);
    sink.respond = (response, { body }) => status(body.data.n === 1 ? 503 : 200, {}, 'x'.repeat(2_000))(response);
    const sender = hooks.sender({ retryScheduleMs: [10, 10], responseBytes: 100 });
    await hooks.sendAll(sender, merchantId, endpointId);
    const [failed, next] = await hooks.deliveries(merchantId, endpointId);
    expect(failed).toMatchObject({ status: 'failed', attempts: 3, deliveredAtMs: null });
    expect(failed?.log.map(({ attempt, statusCode }) => [attempt, statusCode])).toEqual([
      [3, 503],
      [2, 503],
      [1, 503],
    ]);
    expect(failed?.log[0]?.response).toBe('x'.repeat(100));
    expect(next).toMatchObject({ status: 'delivered', attempts: 1 });
    expect(sender.counts).toMatchObject({ delivered: 1, retried: 2, failed: 1 });
    expect((await hooks.shown(merchantId, endpointId)).failingSinceMs).toBeNull();
  });

  test.each([
    { what: 'a redirect', respond: status(302, { location: 'https://example.com/' }), statusCode: 302, error: null },
    {
      what: 'a connection that drops',
      respond: (response: ServerResponse) => void response.destroy(),
      statusCode: null,
      error: 'connection_failed: ECONNRESET',
    },
    {
      what: 'an answer that never begins',
      respond: () => undefined,
      settings: { headersTimeoutMs: 100 },
      statusCode: null,
      error: 'headers_timeout',
    },
  ])('are logged as what they were: $what', async ({ respond, settings, statusCode, error }) => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 1);
    sink.respond = respond;
    const sender = hooks.sender({ retryScheduleMs: [DAY_MS], ...settings });
    await sender.round();
    await sender.idle();
    const [delivery] = await hooks.deliveries(merchantId, endpointId);
    expect(delivery).toMatchObject({ status: 'due', attempts: 1, log: [{ statusCode, error }] });
    const waitMs = (delivery?.nextAttemptAtMs ?? 0) - (delivery?.log[0]?.atMs ?? 0);
    expect(waitMs).toBeGreaterThanOrEqual(DAY_MS);
    expect((await hooks.shown(merchantId, endpointId)).failingSinceMs).not.toBeNull();
  });

  test('wait as long as Retry-After asks, within bounds', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 1);
    sink.respond = status(429, { 'retry-after': '99999999' });
    const sender = hooks.sender({ retryScheduleMs: [10], retryAfterMaxMs: 3_600_000 });
    await sender.round();
    await sender.idle();
    const [delivery] = await hooks.deliveries(merchantId, endpointId);
    const waitMs = (delivery?.nextAttemptAtMs ?? 0) - (delivery?.log[0]?.atMs ?? 0);
    expect(waitMs).toBeGreaterThanOrEqual(3_600_000);
    // A fifth of jitter, and what this machine took.
    expect(waitMs).toBeLessThan(2 * 3_600_000);
    await sender.round();
    await sender.idle();
    expect(sink.received).toHaveLength(1);
  });

  test('without end disable the endpoint, which an event tells in the same transaction', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 3);
    const witness = await hooks.endpoint(merchantId, `${sink.url}/witness`, ['webhook_endpoint.disabled']);
    sink.respond = status(500);
    const sender = hooks.sender({ disableAfterMs: 100, retryScheduleMs: Array.from({ length: 50 }, () => 30) });
    await hooks.sendUntil(sender, 'it is disabled', () => sender.counts.disabled === 1);
    await sender.idle();
    const shown = await hooks.shown(merchantId, endpointId);
    expect(shown).toMatchObject({ status: 'disabled', disabledReason: 'failing' });
    const events = (await hooks.log(merchantId)).filter(({ type }) => type === 'webhook_endpoint.disabled');
    expect(events.map(({ version, data }) => [version, JSON.parse(data)])).toEqual([
      [
        2,
        {
          endpoint_id: String(endpointId),
          host: new URL(sink.url).host,
          reason: 'failing',
          failing_since: new Date(shown.failingSinceMs ?? 0).toISOString(),
        },
      ],
    ]);
    const shape = CATALOGUE['webhook_endpoint.disabled'].versions.at(-1)?.data;
    expect(events.map(({ data }) => shape?.safeParse(JSON.parse(data)).success)).toEqual([true]);
    const tries = sink.received.length;
    expect(tries).toBeGreaterThan(1);
    // Nothing more is sent to it, nor kept for it; the others are told.
    await hooks.append(merchantId, 1);
    await hooks.fanOut(merchantId);
    sink.respond = status(200);
    await hooks.sendAll(sender, merchantId, witness.id);
    expect(sink.received.slice(tries).map(({ path, body }) => [path, body.type])).toEqual([
      ['/hooks/witness', 'webhook_endpoint.disabled'],
    ]);
    // Enabled, it gets what was due and what happens then.
    await enable(merchantId, endpointId);
    expect(await hooks.shown(merchantId, endpointId)).toMatchObject({
      status: 'enabled',
      disabledReason: null,
      failingSinceMs: null,
    });
    await hooks.append(merchantId, 1);
    await hooks.fanOut(merchantId);
    await hooks.sendAll(sender, merchantId, endpointId);
    const all = await hooks.messageIds(merchantId);
    const got = sink.received.filter(({ path }) => path === '/hooks').map(({ id }) => id);
    expect(got.slice(tries)).toEqual([...all.slice(0, 3), all.at(-1)]);
  });

  test('have the whole schedule before them once the endpoint is enabled again', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 1);
    sink.respond = (response) => status(sink.received.length === 3 ? 410 : 500)(response);
    const sender = hooks.sender({ retryScheduleMs: [1, 1, 1] });
    await hooks.sendUntil(sender, 'it is disabled', async () => {
      await sender.idle();
      return (await hooks.shown(merchantId, endpointId)).status === 'disabled';
    });
    expect(await hooks.statuses(merchantId, endpointId)).toEqual(['due']);
    await enable(merchantId, endpointId);
    await hooks.sendAll(sender, merchantId, endpointId);
    expect(sink.received).toHaveLength(3 + 4);
    expect(await hooks.statuses(merchantId, endpointId)).toEqual(['failed']);
  });

  test('stop counting with a success', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 20);
    let requests = 0;
    sink.respond = (response) => {
      requests += 1;
      status(requests % 2 === 1 ? 500 : 200)(response);
    };
    const settings = { disableAfterMs: 5_000, retryScheduleMs: [1, 1, 1] };
    const sender = hooks.sender(settings);
    await sender.round();
    await sender.idle();
    await bystander.client.query(
      `UPDATE webhook_endpoints SET failing_since = now() - interval '4 seconds' WHERE id = $1`,
      [endpointId],
    );
    await hooks.sendAll(sender, merchantId, endpointId);
    expect(await hooks.shown(merchantId, endpointId)).toMatchObject({ status: 'enabled', failingSinceMs: null });
    expect(requests).toBe(40);
  });

  test('are counted on past an event that the log no longer keeps', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 2);
    await bystander.client.query(
      `DELETE FROM events WHERE (merchant_id, seq) = (SELECT merchant_id, max(seq) FROM events WHERE merchant_id = $1 GROUP BY merchant_id)`,
      [merchantId],
    );
    sink.respond = status(500);
    const sender = hooks.sender({ retryScheduleMs: [] });
    await sender.round();
    await sender.idle();
    expect(sender.counts).toMatchObject({ failed: 1, lapsed: 1 });
    expect((await hooks.shown(merchantId, endpointId)).failingSinceMs).toEqual(expect.any(Number));
  });

  test('a 410 disables the endpoint at once', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 2);
    sink.respond = status(410);
    const sender = hooks.sender();
    await sender.round();
    await sender.idle();
    expect(sink.received).toHaveLength(1);
    expect(await hooks.shown(merchantId, endpointId)).toMatchObject({ status: 'disabled', disabledReason: 'gone' });
    const events = (await hooks.log(merchantId)).filter(({ type }) => type === 'webhook_endpoint.disabled');
    expect(events.map(({ data }) => JSON.parse(data).reason)).toEqual(['gone']);
  });
});

describe('redelivery', () => {
  test('sends a delivered one again, under the same id', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 3);
    const sender = hooks.sender();
    await hooks.sendAll(sender, merchantId, endpointId);
    const [one] = await hooks.deliveries(merchantId, endpointId);
    await redeliver(merchantId, one?.id ?? 0n);
    await hooks.sendAll(sender, merchantId, endpointId);
    expect(sink.ids).toEqual([...(await hooks.messageIds(merchantId)), first(await hooks.messageIds(merchantId))]);
    expect(first(await hooks.deliveries(merchantId, endpointId))).toMatchObject({ status: 'delivered', attempts: 2 });
  });

  test('goes before a line that backs off, once, and holds nothing up when it fails', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 3);
    const [one, two, three] = (await hooks.messageIds(merchantId)) as [string, string, string];
    sink.respond = (response, { id }) => status(id === two ? 500 : 200)(response);
    const sender = hooks.sender({ retryScheduleMs: [DAY_MS] });
    await sender.round();
    await sender.idle();
    sink.respond = status(500);
    const [delivered] = await hooks.deliveries(merchantId, endpointId);
    await redeliver(merchantId, delivered?.id ?? 0n);
    await sender.round();
    await sender.idle();
    expect(sink.ids).toEqual([one, two, one]);
    expect(await hooks.statuses(merchantId, endpointId)).toEqual(['failed', 'due', 'due']);
    // Asked for, the head is tried before its time, and stays where it is in the line.
    sink.respond = status(200);
    const [, head] = await hooks.deliveries(merchantId, endpointId);
    await redeliver(merchantId, head?.id ?? 0n);
    await hooks.sendAll(sender, merchantId, endpointId);
    expect(sink.ids.slice(3)).toEqual([two, three]);
  });

  test('of what is unknown, foreign or of a disabled endpoint is refused', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 1);
    const stranger = await hooks.ledger.createMerchant();
    const [delivery] = await hooks.deliveries(merchantId, endpointId);
    const id = delivery?.id ?? 0n;
    await expect(redeliver(merchantId, id + 1n)).rejects.toMatchObject({ code: 'not_found' });
    await expect(redeliver(stranger, id)).rejects.toMatchObject({ code: 'not_found' });
    sink.respond = status(410);
    const sender = hooks.sender();
    await sender.round();
    await sender.idle();
    await expect(redeliver(merchantId, id)).rejects.toMatchObject({ code: 'invalid_transition' });
  });
});
