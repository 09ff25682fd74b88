import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Json, type Merchant, TestApi, transfer } from './support/api.js';
import { Contract } from './support/contract.js';
import { asAdmin } from './support/database.js';

let api: TestApi;
let contract: Contract;
let shop: Merchant;

beforeAll(async () => {
  api = await TestApi.start();
  contract = await Contract.hold(api);
  shop = await api.merchant();
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(() => api.stop());

describe('dead letters', () => {
  /** As a consumer leaves one; test/dead-letters.test.ts has real ones. Returns its id. */
  async function plant(): Promise<string> {
    const { id } = await shop.posted(transfer('cash:EUR', 'suspense:EUR', '1'));
    await asAdmin(api.on.ownerUrl, (admin) =>
      admin.query(
        `INSERT INTO dead_letters (merchant_id, id, consumer, xid, seq, event_type, event_version, parks, tries, error, trace_context, created_at)
         SELECT merchant_id, $1, 'planted', xid, seq, type, version, 'event', 3, 'Error: planted', trace_context, snowflake_time($1)
           FROM events WHERE data ->> 'transaction_id' = $1::bigint::text`,
        [id],
      ),
    );
    return id;
  }
  const decision = { by: 'ada', reason: 'cured' };

  test('are listed newest first, by status, consumer and merchant', async () => {
    const ids = [await plant(), await plant(), await plant()];
    await api.operator.post(`/v1/dead_letters/${ids[1]}/discard`, { body: decision });
    const list = async (query: string): Promise<string[]> =>
      (await api.operator.get(`/v1/dead_letters${query}`)).body.data.map(({ id }: Json) => id);
    expect(await list('')).toEqual(ids.toReversed());
    expect(await list('?status=parked')).toEqual([ids[2], ids[0]]);
    expect(await list(`?consumer=planted&merchant_id=${shop.id}&status=discarding`)).toEqual([ids[1]]);
    expect(await list('?consumer=webhooks')).toEqual([]);
    expect(await list(`?merchant_id=${(await api.merchant()).id}`)).toEqual([]);
    const { body: first } = await api.operator.get('/v1/dead_letters?limit=2');
    expect(first.has_more).toBe(true);
    expect(await list(`?limit=2&cursor=${first.next_cursor}`)).toEqual([ids[0]]);
    expect((await api.operator.get('/v1/dead_letters?status=lost')).status).toBe(422);
  });

  test('are shown with their event and trace, and decided once', async () => {
    const id = await plant();
    const { body: letter } = await api.operator.get(`/v1/dead_letters/${id}`);
    expect(letter).toMatchObject({
      id,
      merchant_id: shop.id,
      status: 'parked',
      parks: 'event',
      tries: 3,
      reason: null,
    });
    expect(letter.event).toMatchObject({ type: 'transaction.posted', data: { transaction_id: id } });
    const redriven = await api.operator.post(`/v1/dead_letters/${id}/redrive`, { body: decision });
    expect(redriven.status).toBe(202);
    expect(redriven.body).toMatchObject({ status: 'redriving', decided_by: 'ada', reason: 'cured' });
    const again = await api.operator.post(`/v1/dead_letters/${id}/redrive`, { body: { by: 'bob', reason: 'too' } });
    expect([again.status, again.body]).toEqual([202, redriven.body]);
    const contrary = await api.operator.post(`/v1/dead_letters/${id}/discard`, { body: decision });
    expect([contrary.status, contrary.body.code]).toEqual([409, 'invalid_transition']);
  });

  test.each([
    {},
    { by: 'ada' },
    { reason: 'cured' },
    { by: '', reason: 'cured' },
    { by: 'ada', reason: 'x'.repeat(1_001) },
    { ...decision, status: 'redriven' },
  ])('are not decided by %j', async (body) => {
    const id = await plant();
    const { status } = await api.operator.post(`/v1/dead_letters/${id}/redrive`, { body });
    expect(status).toBe(422);
    expect((await api.operator.get(`/v1/dead_letters/${id}`)).body.status).toBe('parked');
  });

  test('are for operators alone, and an unknown one is told as such', async () => {
    const id = await plant();
    for (const path of ['', `/${id}`]) expect((await shop.client.get(`/v1/dead_letters${path}`)).status).toBe(403);
    for (const what of ['redrive', 'discard']) {
      expect((await shop.client.post(`/v1/dead_letters/${id}/${what}`, { body: decision })).status).toBe(403);
      expect((await api.operator.post(`/v1/dead_letters/17/${what}`, { body: decision })).status).toBe(404);
      expect((await api.client().post(`/v1/dead_letters/${id}/${what}`, { body: decision })).status).toBe(401);
    }
    expect((await api.operator.get(`/v1/dead_letters/${id}`)).body.status).toBe('parked');
  });
});

test('each of their routes has been answered with success above', () => {
  const routes = [...contract.routes].filter((route) => route.includes('/dead_letters'));
  expect(routes).toHaveLength(4);
  expect(routes.filter((route) => ![...(contract.seen.get(route) ?? [])].some((status) => status < 300))).toEqual([]);
});
