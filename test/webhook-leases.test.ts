import { Webhook } from 'standardwebhooks';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '#kernel/clock.js';
import { createLogger } from '#platform/logging.js';
import { PublicHttp } from '#platform/public-http.js';
import { DeliveryStore } from '#webhooks/delivery-store.js';
import { DeleteWebhookEndpointCommand, DeleteWebhookEndpointHandler } from '#webhooks/endpoint.commands.js';
import { purgeWebhooks } from '#webhooks/purge.js';
import { WebhookSender } from '#webhooks/sender.js';
import { WebhookBacklog } from '#webhooks/webhook-metrics.js';
import { Bystander } from './support/bystander.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { until } from './support/until.js';
import { status, WebhookSink } from './support/webhook-sink.js';
import { senderOptions, TestWebhooks } from './support/webhooks.js';

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

const expireLease = (endpointId: bigint): Promise<unknown> =>
  bystander.client.query('UPDATE webhook_endpoints SET lease_expires_at = now() WHERE id = $1', [endpointId]);
const remove = (merchantId: bigint, endpointId: bigint) =>
  new DeleteWebhookEndpointHandler(hooks.database, hooks.ids).execute(
    new DeleteWebhookEndpointCommand(hooks.context(merchantId), endpointId),
  );

describe('a sender that', () => {
  test('slept past its lease records nothing of what it had in hand', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 1);
    let letGo = (): void => undefined;
    sink.respond = (response) => {
      // The first request is in hand for as long as the sender sleeps.
      letGo = () => void response.writeHead(500).end();
      sink.respond = status(200);
    };
    const [asleep, awake] = [
      hooks.sender({ timeoutMs: 60_000, headersTimeoutMs: 60_000 }),
      hooks.sender({ timeoutMs: 60_000, headersTimeoutMs: 60_000 }),
    ];
    await asleep.round();
    await until('its request has arrived', () => sink.received.length === 1);
    await awake.round();
    await awake.idle();
    expect(sink.received).toHaveLength(1);
    await expireLease(endpointId);
    await hooks.sendAll(awake, merchantId, endpointId);
    letGo();
    await asleep.idle();
    expect([asleep.counts.fenced, asleep.counts.retried, awake.counts.delivered]).toEqual([1, 0, 1]);
    const [delivery] = await hooks.deliveries(merchantId, endpointId);
    expect(delivery).toMatchObject({ status: 'delivered', attempts: 1, log: [{ statusCode: 200 }] });
    expect((await hooks.shown(merchantId, endpointId)).failingSinceMs).toBeNull();
    expect(sink.ids).toEqual([...(await hooks.messageIds(merchantId)), ...(await hooks.messageIds(merchantId))]);
  });

  test('slept past its lease sends nothing more either', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 3);
    let sleptMs = 0;
    const clock = { now: () => systemClock.now(), monotonic: () => systemClock.monotonic() + sleptMs };
    const options = senderOptions();
    const store = new DeliveryStore(hooks.database);
    const record = store.record.bind(store);
    store.record = async (...parts) => {
      const recorded = await record(...parts);
      // Asleep as soon as it is written.
      sleptMs += 3_600_000;
      return recorded;
    };
    const parts = {
      database: hooks.database,
      store,
      http: new PublicHttp(options),
      logger: createLogger({ level: 'fatal', service: 'test' }),
    };
    const sleeper = new WebhookSender(parts, options, clock);
    await sleeper.round();
    await sleeper.idle();
    expect(sink.received).toHaveLength(1);
    await hooks.sendAll(hooks.sender(), merchantId, endpointId);
    expect(sink.ids).toEqual(await hooks.messageIds(merchantId));
  });

  test('dies between a request and its record is followed by one that sends it again, under the same id', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 2);
    const store = new DeliveryStore(hooks.database);
    store.record = () => Promise.reject(new Error('the process is gone'));
    const dying = hooks.sender({}, { store });
    await dying.round();
    await dying.idle();
    expect(sink.received).toHaveLength(1);
    const successor = hooks.sender();
    await successor.round();
    expect(successor.busy).toBe(0);
    await expireLease(endpointId);
    await hooks.sendAll(successor, merchantId, endpointId);
    const [one, two] = await hooks.messageIds(merchantId);
    expect(sink.ids).toEqual([one, one, two]);
    expect((await hooks.deliveries(merchantId, endpointId)).map(({ attempts }) => attempts)).toEqual([1, 1]);
  });

  test('could not record a request sends it again when its own lease is over, without being told', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 1);
    const store = new DeliveryStore(hooks.database);
    const record = store.record.bind(store);
    store.record = () => {
      store.record = record;
      return Promise.reject(new Error('the database is away'));
    };
    // The lease is the deadline of a request, and ten seconds.
    const sender = hooks.sender({ pollMs: 600_000, timeoutMs: 500, headersTimeoutMs: 500 }, { store });
    sender.start();
    await until('it has arrived again', () => sink.received.length === 2);
    await sender.stop();
    expect(sender.counts).toMatchObject({ errors: 1, delivered: 1 });
    expect((await hooks.deliveries(merchantId, endpointId)).map(({ attempts }) => attempts)).toEqual([1]);
  });

  test('looked while somebody else had the endpoint locked looks again, without being told', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 1);
    await bystander.client.query('BEGIN');
    await bystander.client.query('SELECT FROM webhook_endpoints WHERE id = $1 FOR UPDATE', [endpointId]);
    const sender = hooks.sender({ pollMs: 600_000 });
    sender.start();
    // The look that `start` began has ended, and has passed it over.
    await sender.round();
    expect(sender.busy).toBe(0);
    await bystander.client.query('COMMIT');
    await until('it has arrived', () => sink.received.length === 1);
    await sender.stop();
    expect(await hooks.statuses(merchantId, endpointId)).toEqual(['delivered']);
  });

  test('is stopped begins nothing more, drops what hangs, and leaves it to the next one at once', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 2);
    sink.respond = () => undefined;
    const stopped = hooks.sender({ timeoutMs: 60_000, headersTimeoutMs: 60_000 });
    await stopped.round();
    await until('its request has arrived', () => sink.received.length === 1);
    await stopped.stop();
    expect(stopped.counts).toMatchObject({ aborted: 1, delivered: 0, retried: 0 });
    expect(await stopped.round()).toBe(0);
    sink.respond = status(200);
    const next = hooks.sender();
    await next.round();
    await next.idle();
    const [one, two] = await hooks.messageIds(merchantId);
    expect(sink.ids).toEqual([one, one, two]);
    expect(await hooks.statuses(merchantId, endpointId)).toEqual(['delivered', 'delivered']);
  });

  test('has a request in hand when its endpoint is deleted records nothing', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 2);
    let letGo = (): void => undefined;
    sink.respond = (response) => {
      letGo = () => void response.end();
    };
    const sender = hooks.sender();
    await sender.round();
    await until('its request has arrived', () => sink.received.length === 1);
    await remove(merchantId, endpointId);
    letGo();
    await sender.idle();
    await sender.round();
    await sender.idle();
    expect([sender.counts.fenced, sink.received.length]).toEqual([1, 1]);
    expect(await hooks.statuses(merchantId, endpointId)).toEqual(['due', 'due']);
  });
});

describe('secrets', () => {
  const verifies = (secret: string, { text, headers }: WebhookSink['received'][number]): boolean => {
    try {
      new Webhook(secret).verify(text, headers as Record<string, string>);
      return true;
    } catch {
      return false;
    }
  };
  const sent = async (merchantId: bigint, endpointId: bigint) => {
    await hooks.append(merchantId, 1);
    await hooks.fanOut(merchantId);
    await hooks.sendAll(hooks.sender(), merchantId, endpointId);
    return sink.received.at(-1) as WebhookSink['received'][number];
  };

  test('sign both, old and new, for the overlap, and then the new one alone', async () => {
    const { merchantId, endpointId, secret: old } = await hooks.due(sink.url, 1);
    const next = await hooks.rotate(merchantId, endpointId, DAY_MS);
    const both = await sent(merchantId, endpointId);
    expect([verifies(old, both), verifies(next, both)]).toEqual([true, true]);
    expect(String(both.headers['webhook-signature'])).toMatch(/^v1,\S{44} v1,\S{44}$/);
    await bystander.client.query('UPDATE webhook_secrets SET expires_at = now() WHERE expires_at IS NOT NULL');
    const one = await sent(merchantId, endpointId);
    expect([verifies(old, one), verifies(next, one)]).toEqual([false, true]);
    expect(String(one.headers['webhook-signature'])).toMatch(/^v1,\S{44}$/);
  });

  test('rotated twice within the overlap leave the deployed one signing until its own end', async () => {
    const { merchantId, endpointId, secret: deployed } = await hooks.due(sink.url, 1);
    const second = await hooks.rotate(merchantId, endpointId, DAY_MS);
    const third = await hooks.rotate(merchantId, endpointId, 2 * DAY_MS);
    const all = await sent(merchantId, endpointId);
    expect([deployed, second, third].map((secret) => verifies(secret, all))).toEqual([true, true, true]);
    await bystander.client.query(
      `UPDATE webhook_secrets SET expires_at = expires_at - interval '1 day' WHERE expires_at IS NOT NULL AND endpoint_id = $1`,
      [endpointId],
    );
    const later = await sent(merchantId, endpointId);
    expect([deployed, second, third].map((secret) => verifies(secret, later))).toEqual([false, true, true]);
  });

  test('rotated many times at once are five at most, and the rotations too many change nothing', async () => {
    const { merchantId, endpointId, secret: deployed } = await hooks.due(sink.url, 1);
    const rotations = await Promise.allSettled(
      Array.from({ length: 8 }, () => hooks.rotate(merchantId, endpointId, DAY_MS)),
    );
    const secrets = rotations.flatMap((rotation) => (rotation.status === 'fulfilled' ? [rotation.value] : []));
    expect(new Set([deployed, ...secrets]).size).toBe(5);
    for (const rotation of rotations) {
      if (rotation.status === 'rejected') expect(rotation.reason).toMatchObject({ code: 'invalid_transition' });
    }
    const message = await sent(merchantId, endpointId);
    expect([deployed, ...secrets].filter((secret) => verifies(secret, message))).toHaveLength(5);
    const kept = `SELECT count(*)::int AS kept, count(*) FILTER (WHERE expires_at IS NULL)::int AS current
                    FROM webhook_secrets WHERE endpoint_id = $1`;
    expect(await bystander.one(kept, [endpointId])).toEqual({ kept: 5, current: 1 });
    // Whoever is refused is told when the first of them ends: the others' ends lie a day apart.
    const { rows: ends } = await bystander.client.query<{ end_ms: number }>(
      `UPDATE webhook_secrets SET expires_at = date_trunc('milliseconds', now()) + rank * interval '1 day'
         FROM (SELECT id, rank() OVER (ORDER BY id) FROM webhook_secrets WHERE endpoint_id = $1) AS ranked
        WHERE webhook_secrets.id = ranked.id AND expires_at IS NOT NULL
       RETURNING extract(epoch FROM expires_at)::float8 * 1000 AS end_ms`,
      [endpointId],
    );
    const firstEnd = new Date(Math.min(...ends.map(({ end_ms }) => end_ms))).toISOString();
    await expect(hooks.rotate(merchantId, endpointId, DAY_MS)).rejects.toMatchObject({
      code: 'invalid_transition',
      message: expect.stringContaining(`after ${firstEnd},`),
    });
    // Once the oldest has ended there is room for one more, and what signs no more is not kept.
    await bystander.client.query(
      `UPDATE webhook_secrets SET expires_at = now()
        WHERE endpoint_id = $1 AND id = (SELECT min(id) FROM webhook_secrets WHERE endpoint_id = $1)`,
      [endpointId],
    );
    await hooks.rotate(merchantId, endpointId, DAY_MS);
    expect(await bystander.one(kept, [endpointId])).toEqual({ kept: 5, current: 1 });
  });
});

test('the backlog counts what is due to enabled endpoints, and its age', async () => {
  const backlog = new WebhookBacklog(hooks.database);
  await backlog.look();
  expect(backlog.seen).toMatchObject({ due: 0, oldestMs: undefined });
  const { disabled } = backlog.seen;
  const [one, two] = [await hooks.due(sink.url, 3), await hooks.due(sink.url, 4)];
  await backlog.look();
  expect(backlog.seen.due).toBe(7);
  expect(Math.abs(Date.now() - (backlog.seen.oldestMs ?? 0))).toBeLessThan(60_000);
  await bystander.client.query(
    `UPDATE webhook_endpoints SET status = 'disabled', disabled_reason = 'failing' WHERE id = $1`,
    [two.endpointId],
  );
  await hooks.sendAll(hooks.sender(), one.merchantId, one.endpointId);
  await backlog.look();
  expect(backlog.seen).toEqual({ due: 0, oldestMs: undefined, disabled: disabled + 1 });
});

test('the purge forgets what is old and no longer due, with its attempts', async () => {
  const { merchantId, endpointId } = await hooks.due(sink.url, 3);
  sink.respond = (response, { body }) => status(body.data.n === 3 ? 500 : 200)(response);
  const sender = hooks.sender({ retryScheduleMs: [DAY_MS] });
  await sender.round();
  await sender.idle();
  const attempts = () =>
    bystander.one<{ attempts: number }>(
      `SELECT count(*)::int AS attempts FROM webhook_attempts WHERE merchant_id = $1`,
      [merchantId],
    );
  expect(await attempts()).toEqual({ attempts: 3 });
  await purgeWebhooks(hooks.database, DAY_MS, Date.now());
  expect(await hooks.statuses(merchantId, endpointId)).toEqual(['delivered', 'delivered', 'due']);
  await purgeWebhooks(hooks.database, DAY_MS, Date.now() + 2 * DAY_MS);
  expect(await hooks.statuses(merchantId, endpointId)).toEqual(['due']);
  expect(await attempts()).toEqual({ attempts: 1 });
  await remove(merchantId, endpointId);
  await purgeWebhooks(hooks.database, DAY_MS, Date.now() + 2 * DAY_MS);
  const left = 'SELECT count(*)::int AS rows FROM webhook_endpoints WHERE merchant_id = $1';
  expect(await bystander.one(left, [merchantId])).toEqual({ rows: 0 });
});
