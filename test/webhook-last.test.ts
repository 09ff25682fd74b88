import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { DeliveryStore } from '#webhooks/delivery-store.js';
import type { TurnOptions } from '#webhooks/turn.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { status, WebhookSink } from './support/webhook-sink.js';
import { TestWebhooks } from './support/webhooks.js';

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

/** Each statement of a turn is one transaction. */
const OF_A_TURN = ['line', 'due', 'renew', 'record', 'release'] as const;

/** A sender of its own, and which statements its turns made. `before`: which of a name, as `due 2`. */
function watched(before: Record<string, () => Promise<void>> = {}, options: Partial<TurnOptions> = {}) {
  const store = new DeliveryStore(hooks.database);
  const made: string[] = [];
  for (const name of OF_A_TURN) {
    const statement = store[name].bind(store) as (...parts: unknown[]) => Promise<unknown>;
    let times = 0;
    const watching = async (...parts: unknown[]): Promise<unknown> => {
      times += 1;
      await before[`${name} ${times}`]?.();
      made.push(name);
      return statement(...parts);
    };
    Object.assign(store, { [name]: watching });
  }
  return { sender: hooks.sender(options, { store }), made };
}

describe.each([
  ['strict', 'line'],
  ['none', 'due'],
] as const)('to an endpoint with ordering %s', (ordering, read) => {
  test('one delivery is read and recorded, and its record ends the lease', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 1, ordering);
    const { sender, made } = watched();
    await sender.round();
    await sender.idle();
    expect(made).toEqual([read, 'record']);
    // The lease is anybody's at once.
    await hooks.append(merchantId, 1);
    await hooks.fanOut(merchantId);
    const other = watched();
    expect(await other.sender.round()).toBe(1);
    await other.sender.idle();
    expect([await hooks.statuses(merchantId, endpointId), sink.received.length]).toEqual([
      ['delivered', 'delivered'],
      2,
    ]);
  });

  test('what became due before the last one is recorded goes out in the same turn', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 1, ordering);
    const { sender, made } = watched({
      'record 1': async () => {
        await hooks.append(merchantId, 1);
        await hooks.fanOut(merchantId);
      },
    });
    expect(await sender.round()).toBe(1);
    await sender.idle();
    expect(made).toEqual([read, 'record', read, 'record']);
    expect(await hooks.statuses(merchantId, endpointId)).toEqual(['delivered', 'delivered']);
  });
});

test('the record of the last of a line ends the lease', async () => {
  const { merchantId, endpointId } = await hooks.due(sink.url, 3);
  const { sender, made } = watched();
  await sender.round();
  await sender.idle();
  expect(made).toEqual(['line', 'record', 'record', 'record']);
  expect(await hooks.statuses(merchantId, endpointId)).toEqual(Array(3).fill('delivered'));
});

describe('to an endpoint without order', () => {
  test('nothing begins while its last record is under way, which may end the lease', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 1, 'none');
    const { sender, made } = watched({
      'record 1': async () => {
        await hooks.append(merchantId, 1);
        await hooks.fanOut(merchantId);
        sender.wake([merchantId]);
        for (let turn = 0; turn < 10; turn += 1) await new Promise(setImmediate);
      },
    });
    await sender.round();
    await sender.idle();
    expect(made).toEqual(['due', 'record', 'due', 'record']);
    expect(await hooks.statuses(merchantId, endpointId)).toEqual(['delivered', 'delivered']);
  });

  test('a record does not end the lease while more is read, which may be due', async () => {
    const { merchantId } = await hooks.due(sink.url, 1, 'none');
    const [reading, recorded] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const { sender, made } = watched({
      'record 1': async () => recorded.resolve(),
      'due 2': () => {
        reading.resolve();
        return recorded.promise;
      },
    });
    sink.respond = async (response) => {
      sender.wake([merchantId]);
      await reading.promise;
      status(200)(response);
    };
    await sender.round();
    await sender.idle();
    expect(made.toSorted()).toEqual(['due', 'due', 'record', 'release']);
  });

  test('what is tried again later does not keep the lease', async () => {
    const { merchantId, endpointId } = await hooks.due(sink.url, 2, 'none');
    let isFirst = true;
    sink.respond = (response) => {
      status(isFirst ? 500 : 200)(response);
      isFirst = false;
    };
    const { sender, made } = watched(undefined, { retryScheduleMs: [600_000], endpointConcurrency: 1 });
    await sender.round();
    await sender.idle();
    expect(made).toEqual(['due', 'record', 'record']);
    expect((await hooks.statuses(merchantId, endpointId)).toSorted()).toEqual(['delivered', 'due']);
  });
});
