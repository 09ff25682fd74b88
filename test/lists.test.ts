import { CommandBus } from '@nestjs/cqrs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { holdExpiry } from '#ledger/duties/expiry.js';
import { Database } from '#platform/postgres.js';
import { type Client, type Json, type Merchant, SYSTEM_ACCOUNTS, TestApi, transfer, until } from './support/api.js';
import { Contract } from './support/contract.js';

let api: TestApi;
let shop: Merchant;

beforeAll(async () => {
  api = await TestApi.start();
  await Contract.hold(api);
  shop = await api.merchant('EUR', 'USD');
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(() => api.stop());

/** Every item of a list, page by page; `between` runs after each page. */
async function walk(client: Client, path: string, limit: number, between?: () => Promise<unknown>): Promise<Json[]> {
  const items: Json[] = [];
  let cursor = '';
  for (;;) {
    const glue = path.includes('?') ? '&' : '?';
    const { status, body, text } = await client.get(`${path}${glue}limit=${limit}${cursor && `&cursor=${cursor}`}`);
    if (status !== 200) throw new Error(text);
    items.push(...body.data);
    expect(body.has_more).toBe(body.next_cursor !== null);
    if (!body.has_more) return items;
    expect(body.data).toHaveLength(limit);
    cursor = body.next_cursor;
    await between?.();
  }
}

const ids = (items: Json[]): string[] => items.map((item) => item.id);
const list = async (query: string): Promise<string[]> =>
  ids((await shop.client.get(`/v1/transactions?${query}`)).body.data);

describe('pages', () => {
  let seller: Merchant;
  let posted: string[];

  beforeAll(async () => {
    seller = await api.merchant();
    posted = [];
    for (let i = 0; i < 23; i += 1) posted.unshift((await seller.posted(transfer('cash:EUR', 'suspense:EUR', '1'))).id);
  });

  test('a list gives every item once, newest first, while postings go on', async () => {
    for (const limit of [1, 4, 22, 23, 24]) {
      const items = await walk(seller.client, `/v1/transactions?created_to=${tomorrow()}`, limit, () =>
        seller.posted(transfer('cash:EUR', 'suspense:EUR', '1')),
      );
      const seen = ids(items);
      expect(new Set(seen).size).toBe(seen.length);
      expect(seen.slice(-23)).toEqual(posted);
      expect(seen).toEqual([...seen].sort((a, b) => (BigInt(a) < BigInt(b) ? 1 : -1)));
    }
  });

  test('a statement gives every line once while postings go on', async () => {
    const account = seller.accounts['suspense:EUR'];
    const lines = await walk(seller.client, `/v1/accounts/${account}/entries`, 7, () =>
      seller.posted(transfer('cash:EUR', 'suspense:EUR', '1')),
    );
    const versions = lines.map((line) => Number(line.account_version));
    expect(versions).toEqual(Array.from({ length: versions.length }, (_, i) => versions.length - i));
    expect(versions.length).toBeGreaterThanOrEqual(23);
  });

  test('accounts, keys and merchants page as well', async () => {
    expect(await walk(seller.client, '/v1/accounts', 3)).toHaveLength(SYSTEM_ACCOUNTS);
    for (let i = 0; i < 4; i += 1) await api.operator.post(`/v1/merchants/${seller.id}/api_keys`);
    expect(new Set(ids(await walk(api.operator, `/v1/merchants/${seller.id}/api_keys`, 2))).size).toBe(5);
    const merchants = ids(await walk(api.operator, '/v1/merchants', 1));
    expect(merchants).toEqual(ids((await api.operator.get('/v1/merchants')).body.data));
  });

  test.each(['0', '1001', '-1', '1.5', '1e2', 'ten', '', '%00', '99999'])('a limit of %s is refused', async (limit) => {
    for (const path of [
      '/v1/transactions',
      '/v1/accounts',
      `/v1/accounts/${seller.accounts['suspense:EUR']}/entries`,
    ]) {
      const { status, body } = await seller.client.get(`${path}?limit=${limit}`);
      expect([status, body.code, body.errors[0].path]).toEqual([422, 'validation_failed', 'limit']);
    }
    expect((await api.operator.get(`/v1/merchants?limit=${limit}`)).status).toBe(422);
  });

  test('a limit is 100 unless it is said, and may be 1,000', async () => {
    const transactions = Array.from({ length: 101 }, () => transfer('cash:EUR', 'suspense:EUR', '1'));
    await seller.client.post('/v1/transactions/batch', { body: { mode: 'atomic', transactions }, key: 'many' });
    const { body } = await seller.client.get('/v1/transactions');
    expect([body.data.length, body.has_more]).toEqual([100, true]);
    expect((await seller.client.get('/v1/transactions?limit=1000')).body.data.length).toBeGreaterThan(123);
    expect((await seller.client.get('/v1/transactions?limit=1&limit=2')).status).toBe(422);
  });

  test('a cursor is refused once it was tampered with, or with other filters, another list, another tenant', async () => {
    const { body } = await seller.client.get('/v1/transactions?limit=2&type=transfer');
    const cursor: string = body.next_cursor;
    const ask = (client: Client, path: string) => client.get(path);
    const good = `/v1/transactions?limit=2&type=transfer&cursor=${cursor}`;
    expect((await ask(seller.client, good)).status).toBe(200);
    expect((await ask(seller.client, good.replace('limit=2', 'limit=9'))).status).toBe(200);
    const mixed = cursor.slice(0, 8) + (cursor[8] === 'A' ? 'B' : 'A') + cursor.slice(9);
    const refused = [
      good.replace(cursor, mixed),
      good.replace(cursor, `${cursor}=`),
      good.replace(cursor, `${cursor}A`),
      good.replace(cursor, cursor.slice(0, -2)),
      good.replace(cursor, ''),
      good.replace(cursor, 'x'.repeat(2_000)),
      good.replace(cursor, '%00'),
      good.replace('&type=transfer', ''),
      good.replace('transfer', 'other'),
      `${good}&expand=entries`,
      `/v1/accounts?limit=2&cursor=${cursor}`,
      `/v1/accounts/${seller.accounts['suspense:EUR']}/entries?cursor=${cursor}`,
    ];
    for (const path of refused) {
      const answer = await ask(seller.client, path);
      expect([path, answer.status, answer.body.errors[0].path]).toEqual([path, 422, 'cursor']);
    }
    expect((await ask(shop.client, good)).status).toBe(422);
    expect((await ask(api.actingFor(seller.id), good)).status).toBe(200);
  });

  test('unknown query parameters are refused on every route', async () => {
    const { id } = await seller.posted(transfer('cash:EUR', 'suspense:EUR', '1'));
    const account = `/v1/accounts/${seller.accounts['suspense:EUR']}`;
    const paths = [
      '/v1/accounts',
      account,
      `${account}/balance`,
      `${account}/entries`,
      '/v1/transactions',
      `/v1/transactions/${id}`,
    ];
    for (const path of paths) {
      for (const name of ['nonsense', '__proto__', 'Limit']) {
        const { status, body } = await seller.client.get(`${path}?${name}=1`);
        expect([path, name, status, body.code]).toEqual([path, name, 422, 'validation_failed']);
      }
    }
    for (const path of ['/v1/merchants', `/v1/merchants/${seller.id}`, `/v1/merchants/${seller.id}/api_keys`]) {
      expect((await api.operator.get(`${path}?nonsense=1`)).status).toBe(422);
    }
    expect((await seller.client.post('/v1/transactions?nonsense=1', { body: {}, key: 'k' })).status).toBe(422);
  });
});

function tomorrow(): string {
  return new Date(Date.now() + 86_400_000).toISOString();
}

describe('filters of transactions', () => {
  const made: Record<string, string> = {};

  beforeAll(async () => {
    await shop.open('a');
    await shop.open('b');
    const post = async (name: string, more: Record<string, unknown>, from = 'a', to = 'b') => {
      made[name] = (await shop.posted(transfer(from, to, '10', more))).id;
    };
    await post('early', { effective_at: '2026-03-01T00:00:00Z', external_ref: 'order/1 ü' });
    await post('late', { effective_at: '2026-04-01T00:00:00Z', type: 'fee' });
    await post('elsewhere', {}, 'cash:EUR', 'suspense:EUR');
    const soon = new Date(Date.now() + 200).toISOString();
    await post('expired', { status: 'pending', expires_at: soon });
    await post('voided', { status: 'pending' });
    await post('partial', { status: 'pending', external_ref: 'order/1 ü' });
    await post('captured', { status: 'pending' });
    await post('pending', { status: 'pending' });
    await shop.move(made.voided as string, 'void');
    await shop.move(made.partial as string, 'post', { amount: '4', final: false });
    await shop.move(made.captured as string, 'post');
    await until(() => Date.now() > Date.parse(soon) + 1);
    await holdExpiry(api.app.get(Database), api.app.get(CommandBus)).round();
  });

  test.each(['pending', 'partially_posted', 'voided', 'expired'])(
    'status %s finds the one hold in it',
    async (status) => {
      const name = status === 'partially_posted' ? 'partial' : status;
      expect(await list(`status=${status}`)).toEqual([made[name]]);
    },
  );

  test('status posted finds postings, captures, voids, and holds that were posted whole', async () => {
    const { data } = (await shop.client.get('/v1/transactions?status=posted')).body;
    for (const name of ['early', 'late', 'elsewhere', 'captured']) expect(ids(data)).toContain(made[name]);
    for (const name of ['pending', 'partial', 'voided', 'expired']) expect(ids(data)).not.toContain(made[name]);
    expect(data.map((item: Json) => item.status)).toEqual(data.map(() => 'posted'));
    expect(data.map((item: Json) => item.type).sort()).toEqual(
      ['expiry', 'fee', 'transfer', 'transfer', 'transfer', 'transfer', 'transfer', 'void'].sort(),
    );
  });

  test('type, external_ref and account_id find theirs', async () => {
    expect(await list('type=fee')).toEqual([made.late]);
    expect(await list(`external_ref=${encodeURIComponent('order/1 ü')}`)).toEqual([made.partial, made.early]);
    expect(await list('external_ref=order')).toEqual([]);
    expect(await list(`account_id=${shop.accounts['suspense:EUR']}`)).toEqual([made.elsewhere]);
    expect(await list(`account_id=${shop.accounts.a}&type=fee&status=posted`)).toEqual([made.late]);
    expect((await list(`account_id=${shop.accounts.b}&limit=1000`)).length).toBe(11);
    expect(await list(`account_id=${shop.accounts.a}&external_ref=${encodeURIComponent('order/1 ü')}`)).toEqual([
      made.partial,
      made.early,
    ]);
  });

  test('one with several entries on an account is found once', async () => {
    await shop.open('twice');
    const body = transfer('a', 'twice', '1');
    body.entries.push(...transfer('b', 'twice', '2').entries);
    const { id } = await shop.posted(body);
    expect(await list(`account_id=${shop.accounts.twice}`)).toEqual([id]);
  });

  test('from is inclusive and to exclusive, for created and effective times', async () => {
    expect(await list('effective_from=2026-03-01T00:00:00Z&effective_to=2026-04-01T00:00:00Z')).toEqual([made.early]);
    expect(await list('effective_from=2026-03-01T00:00:00.001Z&effective_to=2026-04-01T00:00:00.001Z')).toEqual([
      made.late,
    ]);
    const created: string = (await shop.client.get(`/v1/transactions/${made.pending}`)).body.created_at;
    const after = new Date(Date.parse(created) + 1).toISOString();
    for (const filter of ['', `&account_id=${shop.accounts.a}`, '&status=pending']) {
      expect(await list(`created_from=${created}&created_to=${after}${filter}`)).toEqual([made.pending]);
      expect(await list(`created_to=${created}${filter}`)).not.toContain(made.pending);
      expect(await list(`created_from=${after}${filter}`)).not.toContain(made.pending);
    }
  });

  test('expand=entries shows whole transactions in the same order', async () => {
    const summaries = (await shop.client.get('/v1/transactions?limit=5')).body.data;
    const whole = (await shop.client.get('/v1/transactions?limit=5&expand=entries')).body.data;
    expect(ids(whole)).toEqual(ids(summaries));
    for (const [i, transaction] of whole.entries()) {
      expect(transaction).toEqual((await shop.client.get(`/v1/transactions/${transaction.id}`)).body);
      const { amount: _amount, currency: _currency, ...shared } = summaries[i];
      expect(transaction).toMatchObject(shared);
    }
    const paged = await walk(shop.client, '/v1/transactions?expand=entries', 2);
    expect(ids(paged)).toEqual(await list('limit=1000'));
  });

  test.each([
    'status=open',
    'type=%20',
    'account_id=x',
    'created_from=yesterday',
    'effective_to=2026-02-30T00:00:00Z',
    'expand=all',
    'external_ref=',
  ])('%s is refused', async (query) => {
    const { status, body } = await shop.client.get(`/v1/transactions?${query}`);
    expect([status, body.errors[0].path]).toEqual([422, query.split('=')[0]]);
  });
});

test('accounts are found by prefix of their code and by currency', async () => {
  for (const code of ['team:1', 'team:10', 'team_2', 'tea']) await shop.open(code);
  await shop.open('team:usd', { currency: 'USD' });
  const find = async (query: string) =>
    (await shop.client.get(`/v1/accounts?${query}`)).body.data.map((one: Json) => one.code);
  expect(await find('code_prefix=team:')).toEqual(['team:usd', 'team:10', 'team:1']);
  expect(await find('code_prefix=team:&currency=EUR')).toEqual(['team:10', 'team:1']);
  expect(await find('currency=USD&code_prefix=team')).toEqual(['team:usd']);
  expect(await find('code_prefix=%25')).toEqual([]);
  expect(await find('code_prefix=team%5C')).toEqual([]);
  expect((await shop.client.get('/v1/accounts?currency=usd')).status).toBe(422);
});
