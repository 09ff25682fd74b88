import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { RECORDS } from './outbox/recorder.js';
import { TestOutbox } from './outbox/test-outbox.js';
import { type Json, type Merchant, TestApi, transfer } from './support/api.js';
import { Contract } from './support/contract.js';
import { asAdmin } from './support/database.js';
import { TestLedger } from './support/ledger.js';
import { until } from './support/until.js';

let api: TestApi;
let ledger: TestLedger;
let outbox: TestOutbox;

beforeAll(async () => {
  api = await TestApi.start();
  await Contract.hold(api);
  await asAdmin(api.on.ownerUrl, (admin) => admin.query(RECORDS));
  ledger = await TestLedger.open(api.on);
  outbox = await TestOutbox.start(api.on, ledger);
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(async () => {
  await outbox.stop();
  await ledger.close();
  await api.stop();
});

const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736';

/** A posting whose event no consumer can apply until `ref` is cured. */
async function poison(shop: Merchant, ref: string): Promise<string> {
  const answer = await shop.client.post('/v1/transactions', {
    body: transfer('cash:EUR', 'suspense:EUR', '7', { external_ref: ref }),
    key: ref,
    headers: { traceparent: `00-${TRACE_ID}-00f067aa0ba902b7-01` },
  });
  expect(answer.status).toBe(201);
  return answer.body.id;
}

const cure = (ref: string) => asAdmin(api.on.ownerUrl, (admin) => admin.query('INSERT INTO cured VALUES ($1)', [ref]));

/** Transactions and accounts of the merchant that the consumer has recorded, in its order. */
async function recorded(consumer: string, shop: Merchant): Promise<string[]> {
  return asAdmin(api.on.ownerUrl, async (admin) => {
    const { rows } = await admin.query<{ what: string }>(
      `SELECT coalesce(e.data ->> 'transaction_id', e.data ->> 'account_id') AS what FROM records r
         JOIN events e USING (merchant_id, xid, seq) WHERE r.consumer = $1 AND merchant_id = $2 AND e.type LIKE 'transaction.%'
        ORDER BY r.number`,
      [consumer, shop.id],
    );
    return rows.map(({ what }) => what);
  });
}

async function letterOf(consumer: string, shop: Merchant, status = 'parked'): Promise<Json> {
  return until(`${consumer} has a letter that is ${status}`, async () => {
    const query = `consumer=${consumer}&merchant_id=${shop.id}&status=${status}`;
    return (await api.operator.get(`/v1/dead_letters?${query}`)).body.data[0];
  });
}

const decide = (id: string, what: 'redrive' | 'discard') =>
  api.operator.post(`/v1/dead_letters/${id}/${what}`, { body: { by: 'ada', reason: 'it is cured' } });

/** Streams are looked at in the round of the first of these redrives, and that round is over once there is a second. */
async function untilARoundOfRedrives(): Promise<void> {
  for (let redrives = 0; redrives < 2; redrives += 1) {
    const shop = await api.merchant();
    const ref = `poison:throw:${shop.id}`;
    await poison(shop, ref);
    const { id } = await letterOf('by_stream', shop);
    await cure(ref);
    await decide(id, 'redrive');
    await letterOf('by_stream', shop, 'redriven');
  }
}

describe('a dead letter', () => {
  test('is inspected, redriven in vain, redriven after the cure, and its stream goes on behind it', async () => {
    const shop = await api.merchant();
    const ref = `poison:throw:${shop.id}`;
    const first = (await shop.posted(transfer('cash:EUR', 'suspense:EUR', '1'))).id;
    const bad = await poison(shop, ref);
    const last = (await shop.posted(transfer('cash:EUR', 'suspense:EUR', '1'))).id;
    const { id } = await letterOf('by_stream', shop);
    const { body: letter } = await api.operator.get(`/v1/dead_letters/${id}`);
    expect(letter).toMatchObject({
      merchant_id: shop.id,
      consumer: 'by_stream',
      status: 'parked',
      parks: 'stream',
      trace_id: TRACE_ID,
      decided_by: null,
      event: { type: 'transaction.posted', version: 2, data: { transaction_id: bad, external_ref: ref } },
    });
    expect(letter.error).toContain('poison');
    expect(await recorded('by_stream', shop)).toEqual([first]);

    const vain = await decide(id, 'redrive');
    expect([vain.status, vain.body.status, vain.body.decided_by]).toEqual([202, 'redriving', 'ada']);
    await until('it is parked again', async () => {
      const { body } = await api.operator.get(`/v1/dead_letters/${id}`);
      return body.status === 'parked' && body.tries > letter.tries;
    });

    await cure(ref);
    expect((await decide(id, 'redrive')).status).toBe(202);
    await letterOf('by_stream', shop, 'redriven');
    await until('the stream has caught up', async () => (await recorded('by_stream', shop)).length === 3);
    expect(await recorded('by_stream', shop)).toEqual([first, bad, last]);
    // What is done stays done.
    const again = await decide(id, 'redrive');
    expect([again.status, again.body.status]).toEqual([202, 'redriven']);
    expect((await decide(id, 'discard')).body.code).toBe('invalid_transition');
  });

  test('is discarded, and its stream goes on without it', async () => {
    const shop = await api.merchant();
    const bad = await poison(shop, `poison:throw:${shop.id}`);
    const last = (await shop.posted(transfer('cash:EUR', 'suspense:EUR', '1'))).id;
    const { id } = await letterOf('by_stream', shop);
    expect((await decide(id, 'discard')).body.status).toBe('discarding');
    await letterOf('by_stream', shop, 'discarded');
    await until('the stream has caught up', async () => (await recorded('by_stream', shop)).length === 1);
    expect(await recorded('by_stream', shop)).toEqual([last]);
    expect((await decide(id, 'discard')).status).toBe(202);
    expect((await decide(id, 'redrive')).status).toBe(409);
    // The other consumer has one of its own, about which nothing has been decided.
    const other = await letterOf('by_event', shop);
    const { body } = await api.operator.get(`/v1/dead_letters/${other.id}`);
    expect([body.event.data.transaction_id, body.decided_by]).toEqual([bad, null]);
  });

  test('waits for its decision although it is cured, and its stream waits behind it', async () => {
    const shop = await api.merchant();
    const ref = `poison:throw:${shop.id}`;
    const bad = await poison(shop, ref);
    const last = (await shop.posted(transfer('cash:EUR', 'suspense:EUR', '1'))).id;
    const { id } = await letterOf('by_stream', shop);
    await cure(ref);
    await untilARoundOfRedrives();
    expect(await recorded('by_stream', shop)).toEqual([]);
    expect((await api.operator.get(`/v1/dead_letters/${id}`)).body.status).toBe('parked');
    await decide(id, 'redrive');
    await until('the stream has caught up', async () => (await recorded('by_stream', shop)).length === 2);
    expect(await recorded('by_stream', shop)).toEqual([bad, last]);
  });

  test('gets one decision, however many operators decide at once', async () => {
    const shop = await api.merchant();
    const ref = `poison:throw:${shop.id}`;
    await poison(shop, ref);
    const { id } = await letterOf('by_event', shop);
    await cure(ref);
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, index) => decide(id, index % 2 === 0 ? 'redrive' : 'discard')),
    );
    const decided = new Set(answers.filter(({ status }) => status === 202).map(({ path }) => path.split('/').at(-1)));
    expect(decided.size).toBe(1);
    expect(answers.filter(({ status }) => status === 409)).toHaveLength(6);
    const [what] = decided;
    await letterOf('by_event', shop, what === 'redrive' ? 'redriven' : 'discarded');
    expect(await recorded('by_event', shop)).toHaveLength(what === 'redrive' ? 1 : 0);
  });
});
