import type { ServerResponse } from 'node:http';
import type pg from 'pg';
import { Webhook } from 'standardwebhooks';
import type { QueryRunner } from 'typeorm';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { WebhookOrdering1764300000000 } from '#db/migrations/1764300000000-webhook-ordering.js';
import { systemClock } from '#kernel/clock.js';
import { DeliveryStore } from '#webhooks/delivery-store.js';
import { Bystander } from './support/bystander.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { until } from './support/until.js';
import { status, WebhookSink } from './support/webhook-sink.js';
import { TestWebhooks } from './support/webhooks.js';

const HOUR_MS = 3_600_000;
/** Longer than any test: what arrives was not found by the safety round. */
const NEVER_POLLED = { pollMs: 600_000 };
const PATIENT = { timeoutMs: 60_000, headersTimeoutMs: 60_000 };

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

/** Answers nothing until told. */
class Held {
  readonly answers: ServerResponse[] = [];
  readonly take = (response: ServerResponse): void => void this.answers.push(response);

  release(code = 200): void {
    for (const response of this.answers.splice(0)) response.writeHead(code).end();
  }
}

const more = async (merchantId: bigint, count: number): Promise<void> => {
  await hooks.append(merchantId, count);
  await hooks.fanOut(merchantId);
};
const arrived = (count: number): Promise<boolean> =>
  until(`${count} have arrived`, () => sink.received.length >= count);

describe('without order', () => {
  test('an event that always fails holds up no other one, and is tried again at its own time', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 200, 'none');
    sink.respond = (response, { body }) => status(body.data.n % 20 === 0 ? 500 : 200)(response);
    const sender = hooks.sender({ retryScheduleMs: [HOUR_MS, HOUR_MS] });
    await sender.round();
    await sender.idle();
    expect(sender.counts).toMatchObject({ delivered: 190, retried: 10, failed: 0 });
    expect(new Set(sink.ids).size).toBe(200);
    expect(sink.received).toHaveLength(200);
    await bystander.client.query(`UPDATE webhook_deliveries SET next_attempt_at = now() WHERE status = 'due'`);
    sink.respond = status(200);
    await hooks.sendAll(sender, merchantId, endpointId);
    expect(sink.received).toHaveLength(210);
    expect(new Set(await hooks.statuses(merchantId, endpointId))).toEqual(new Set(['delivered']));
  });

  test('an endpoint gets as many requests at once as WEBHOOK_ENDPOINT_CONCURRENCY says, and no more', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 20, 'none');
    const held = new Held();
    sink.respond = held.take;
    const sender = hooks.sender({ endpointConcurrency: 4, ...PATIENT });
    await sender.round();
    await arrived(4);
    sink.respond = status(200);
    held.release();
    await sender.idle();
    expect(await hooks.statuses(merchantId, endpointId)).not.toContain('due');
    expect(sink.most).toBe(4);
    expect(new Set(sink.ids).size).toBe(20);
    expect(sink.received).toHaveLength(20);
  });

  test('all endpoints together get no more than WEBHOOK_CONCURRENCY says, and each gets something', async () => {
    const endpoints = await Promise.all(Array.from({ length: 3 }, () => hooks.due(sink.url, 12, 'none')));
    const sender = hooks.sender({ concurrency: 5, endpointConcurrency: 10, ...PATIENT });
    const held = new Held();
    sink.respond = held.take;
    await sender.round();
    await arrived(5);
    sink.respond = status(200);
    held.release();
    await hooks.sendUntil(sender, 'all have theirs', () => sink.received.length >= 36);
    await sender.idle();
    expect(sink.most).toBe(5);
    for (const { merchantId, endpointId } of endpoints)
      expect(new Set(await hooks.statuses(merchantId, endpointId))).toEqual(new Set(['delivered']));
    expect(sink.received).toHaveLength(36);
  });

  test('each delivery is one request at a time from any number of workers', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 80, 'none');
    const senders = [hooks.sender(), hooks.sender(), hooks.sender()];
    await until('all is delivered', async () => {
      await Promise.all(senders.map((sender) => sender.round()));
      return !(await hooks.statuses(merchantId, endpointId)).includes('due');
    });
    expect(new Set(sink.ids).size).toBe(80);
    expect(sink.received).toHaveLength(80);
  });

  test('a request that hangs holds up nothing that becomes due meanwhile', async () => {
    const { merchantId } = await hooks.due(sink.url, 1, 'none');
    const held = new Held();
    sink.respond = held.take;
    const sender = hooks.sender({ ...NEVER_POLLED, ...PATIENT });
    sender.start();
    await arrived(1);
    sink.respond = status(200);
    for (let round = 1; round <= 3; round += 1) {
      await more(merchantId, 5);
      sender.wake([merchantId]);
      await arrived(1 + 5 * round);
    }
    await until('all but that one are recorded', () => sender.counts.delivered === 15);
    held.release();
    await sender.stop();
    expect(sink.received).toHaveLength(16);
  });

  test('a retry is sent at its time, although another request keeps the turn open', async () => {
    await hooks.due(sink.url, 2, 'none');
    const held = new Held();
    let refused: string | undefined;
    sink.respond = (response, { id, body }) => {
      if (body.data.n === 1) return held.take(response);
      const isFirst = refused === undefined;
      refused = id;
      status(isFirst ? 500 : 200)(response);
    };
    const sender = hooks.sender({ ...NEVER_POLLED, ...PATIENT, retryScheduleMs: [50, 50] });
    sender.start();
    await until('it is delivered at the second try', () => sender.counts.delivered === 1);
    expect(held.answers).toHaveLength(1);
    expect(sink.ids.filter((id) => id === refused)).toHaveLength(2);
    held.release();
    await sender.stop();
  });

  test('a sender that slept past its lease records nothing of all that it had in hand', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 3, 'none');
    const held = new Held();
    sink.respond = held.take;
    const [asleep, awake] = [hooks.sender(PATIENT), hooks.sender(PATIENT)];
    await asleep.round();
    await arrived(3);
    await awake.round();
    expect(awake.busy).toBe(0);
    sink.respond = status(200);
    await bystander.client.query('UPDATE webhook_endpoints SET lease_expires_at = now() WHERE id = $1', [endpointId]);
    await hooks.sendAll(awake, merchantId, endpointId);
    held.release(500);
    await asleep.idle();
    expect([asleep.counts.fenced, asleep.counts.retried, awake.counts.delivered]).toEqual([3, 0, 3]);
    expect((await hooks.deliveries(merchantId, endpointId)).map(({ attempts }) => attempts)).toEqual([1, 1, 1]);
    expect((await hooks.shown(merchantId, endpointId)).failingSinceMs).toBeNull();
  });

  test('a turn that goes on for long renews its lease, and takes up the secrets of now', async () => {
    const { merchantId, endpointId, secret } = await hooks.due(sink.url, 2, 'none');
    let passedMs = 0;
    const clock = { now: () => systemClock.now(), monotonic: () => systemClock.monotonic() + passedMs };
    let next: string | undefined;
    const store = new DeliveryStore(hooks.database);
    const record = store.record.bind(store);
    store.record = async (...parts) => {
      next ??= await hooks.rotate(merchantId, endpointId, HOUR_MS);
      const recorded = await record(...parts);
      // Longer than a request may begin after a claim.
      passedMs += 6_000;
      return recorded;
    };
    const sender = hooks.sender({ endpointConcurrency: 1 }, { store, clock });
    await sender.round();
    await sender.idle();
    const [, last] = sink.received;
    for (const key of [secret, next ?? ''])
      expect(new Webhook(key).verify(last?.text ?? '', last?.headers as Record<string, string>)).toEqual(last?.body);
    expect(sender.counts.delivered).toBe(2);
  });

  test.each([
    ['whose lease somebody else has taken', 'lease_epoch = lease_epoch + 1'],
    ['whose endpoint was deleted', `status = 'deleted'`],
    ['whose endpoint was disabled', `status = 'disabled', disabled_reason = 'gone'`],
  ])('a turn %s begins nothing more', async (_, change) => {
    const { endpointId } = await hooks.due(sink.url, 3, 'none');
    let passedMs = 0;
    const clock = { now: () => systemClock.now(), monotonic: () => systemClock.monotonic() + passedMs };
    const store = new DeliveryStore(hooks.database);
    const record = store.record.bind(store);
    store.record = async (...parts) => {
      const recorded = await record(...parts);
      await bystander.client.query(`UPDATE webhook_endpoints SET ${change} WHERE id = $1`, [endpointId]);
      passedMs += 6_000;
      return recorded;
    };
    const sender = hooks.sender({ endpointConcurrency: 1 }, { store, clock });
    await sender.round();
    await sender.idle();
    expect(sink.received).toHaveLength(1);
  });

  test('an endpoint that has much due makes room for one that waits', async () => {
    const busy = await hooks.due(sink.url, 30, 'none');
    let passedMs = 0;
    const clock = { now: () => systemClock.now(), monotonic: () => systemClock.monotonic() + passedMs };
    const other = await WebhookSink.open();
    const waiting = await hooks.due(other.url, 1, 'none');
    // Who fails first waits longest.
    await bystander.client.query(
      `UPDATE webhook_deliveries SET next_attempt_at = now() - interval '1 minute' WHERE endpoint_id = $1`,
      [busy.endpointId],
    );
    sink.respond = (response) => {
      passedMs += 1_000;
      response.end();
    };
    const sender = hooks.sender({ concurrency: 1 }, { clock });
    sender.start();
    await until('the other one has its own', () => other.received.length === 1);
    expect(sink.received.length).toBeLessThan(30);
    await until('all have theirs', () => sink.received.length === 30);
    await sender.stop();
    expect(await hooks.statuses(waiting.merchantId, waiting.endpointId)).toEqual(['delivered']);
    await other.close();
  });

  test('a redelivery goes before what is due, and is tried once', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 3, 'none');
    const sender = hooks.sender({ endpointConcurrency: 1 });
    await hooks.sendAll(sender, merchantId, endpointId);
    const [one] = await hooks.messageIds(merchantId);
    await more(merchantId, 2);
    await bystander.client.query(
      `UPDATE webhook_deliveries SET status = 'due', redelivery = true
        WHERE id = (SELECT min(id) FROM webhook_deliveries WHERE endpoint_id = $1)`,
      [endpointId],
    );
    sink.received.length = 0;
    sink.respond = (response, { id }) => status(id === one ? 500 : 200)(response);
    await hooks.sendAll(sender, merchantId, endpointId);
    expect(sink.ids.slice(0, 1)).toEqual([one]);
    expect(sink.received).toHaveLength(3);
  });
});

describe('a sender that goes by itself', () => {
  test.each(['none', 'strict'] as const)(
    'sends what it is woken for, and a retry when its time comes: %s',
    async (ordering) => {
      const merchantId = await hooks.ledger.createMerchant();
      const { id } = await hooks.endpoint(merchantId, sink.url, null, ordering);
      const sender = hooks.sender({ ...NEVER_POLLED, retryScheduleMs: [50, 50] });
      sender.start();
      let requests = 0;
      sink.respond = (response) => {
        requests += 1;
        status(requests < 3 ? 500 : 200)(response);
      };
      await more(merchantId, 1);
      sender.wake([merchantId]);
      await until('it is delivered at the third try', () => sender.counts.delivered === 1);
      await more(merchantId, 2);
      sender.wake();
      await until('so are the next ones', () => sender.counts.delivered === 3);
      expect(sink.received).toHaveLength(5);
      expect(await hooks.statuses(merchantId, id)).toEqual(['delivered', 'delivered', 'delivered']);
      await sender.stop();
    },
  );

  test.each(['none', 'strict'] as const)(
    'learns at its start when what an earlier one left is due: %s',
    async (ordering) => {
      const { merchantId, endpointId } = await hooks.due(sink.url, 1, ordering);
      sink.respond = status(500);
      const earlier = hooks.sender({ retryScheduleMs: [600, 600] });
      await earlier.round();
      await earlier.idle();
      sink.respond = status(200);
      const sender = hooks.sender(NEVER_POLLED);
      sender.start();
      await until('it is delivered', () => sender.counts.delivered === 1);
      expect(await hooks.statuses(merchantId, endpointId)).toEqual(['delivered']);
      await sender.stop();
    },
  );

  test('finds what became due while another one held the endpoint, and was told in vain', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 1);
    const store = new DeliveryStore(hooks.database);
    const record = store.record.bind(store);
    const sender = hooks.sender(NEVER_POLLED, { store });
    let recorded = 0;
    store.record = async (...parts) => {
      recorded += 1;
      if (recorded > 1) return record(...parts);
      // Its record, which ends the lease where nothing else is due, has begun: it sees nothing later, and still holds the endpoint.
      await bystander.client.query('BEGIN');
      await bystander.client.query('SELECT FROM webhook_endpoints WHERE id = $1 FOR NO KEY UPDATE', [endpointId]);
      const ended = record(...parts);
      await until('the record waits', () => asAdmin(on.ownerUrl, (watcher) => isWaiting(watcher)));
      await more(merchantId, 1);
      const other = hooks.sender(NEVER_POLLED);
      expect(await other.round()).toBe(0);
      await bystander.client.query('COMMIT');
      expect(await ended).toEqual({ disabled: false, released: true });
      return ended;
    };
    sender.start();
    await until('both have arrived', () => sender.counts.delivered === 2);
    await sender.stop();
  });
});

/** Whether somebody waits for a row of this database. */
async function isWaiting(watcher: pg.Client): Promise<boolean> {
  const { rowCount } = await watcher.query(
    `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
  );
  return rowCount === 1;
}

test('endpoints of before the migration keep the order that they were promised, new ones have none', async () => {
  const old = new WebhookOrdering1764300000000();
  const insert = (id: number): Promise<unknown> =>
    bystander.client.query(
      `INSERT INTO webhook_endpoints (merchant_id, id, url, created_at) VALUES ($1, $2, 'x', snowflake_time($2))`,
      [merchantId, id],
    );
  const merchantId = await hooks.ledger.createMerchant();
  const runner = { query: (sql: string) => bystander.client.query(sql) } as unknown as QueryRunner;
  await old.down(runner);
  await insert(1);
  await old.up(runner);
  await insert(2);
  const { rows } = await bystander.client.query(
    'SELECT ordering FROM webhook_endpoints WHERE merchant_id = $1 ORDER BY id',
    [merchantId],
  );
  expect(rows.map(({ ordering }) => ordering)).toEqual(['strict', 'none']);
});
