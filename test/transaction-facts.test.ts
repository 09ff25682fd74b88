import { CommandBus } from '@nestjs/cqrs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { holdExpiry } from '#ledger/duties/expiry.js';
import { Database } from '#platform/postgres.js';
import { type Json, type Merchant, TestApi, transfer, until } from './support/api.js';
import { Contract } from './support/contract.js';
import { expectVerified } from './support/verified.js';

/** What a transaction shows, and its event tells, beside its entries. */
let api: TestApi;
let shop: Merchant;
let pairs = 0;

beforeAll(async () => {
  api = await TestApi.start();
  await Contract.hold(api);
  shop = await api.merchant();
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(async () => {
  await expectVerified(api.on);
  await api.stop();
});

/** A payer without a floor, and a wallet that may not fall below zero. */
async function pair(): Promise<[payer: string, wallet: string]> {
  const [payer, wallet] = [`payer${pairs}`, `wallet${pairs++}`];
  await shop.open(payer);
  await shop.open(wallet, { min_available: '0' });
  return [payer, wallet];
}

async function shown(id: string): Promise<Json> {
  return (await shop.client.get(`/v1/transactions/${id}`)).body;
}

async function amountsOf(id: string): Promise<[status: string, remaining: string, reversed: string]> {
  const { status, amount_remaining, amount_reversed } = await shown(id);
  return [status, amount_remaining, amount_reversed];
}

describe('amount_remaining and amount_reversed', () => {
  test('follow a hold through its captures to its end', async () => {
    const [payer, wallet] = await pair();
    const hold = await shop.posted(transfer(payer, wallet, '60', { status: 'pending' }));
    expect([hold.status, hold.amount_remaining, hold.amount_reversed]).toEqual(['pending', '60', '0']);
    const capture = await shop.move(hold.id, 'post', { amount: '25', final: false });
    expect([capture.body.amount_remaining, capture.body.amount_reversed]).toEqual(['0', '0']);
    expect(await amountsOf(hold.id)).toEqual(['partially_posted', '35', '0']);
    await shop.move(hold.id, 'void');
    expect(await amountsOf(hold.id)).toEqual(['voided', '0', '0']);
    await shop.move(capture.body.id, 'reverse', { amount: '5' });
    expect(await amountsOf(capture.body.id)).toEqual(['posted', '0', '5']);
  });

  test('are told in a list of whole transactions, and by a replay as they were then', async () => {
    const [payer, wallet] = await pair();
    const body = transfer(payer, wallet, '60', { status: 'pending' });
    const hold = await shop.post(body, 'held-then');
    await shop.move(hold.body.id, 'post', { amount: '25', final: false });
    const again = await shop.post(body, 'held-then');
    expect([again.text, again.body.amount_remaining]).toEqual([hold.text, '60']);
    const listed = await shop.client.get(`/v1/transactions?account_id=${shop.accounts[wallet]}&expand=entries`);
    expect(listed.body.data.map((t: Json) => t.amount_remaining)).toEqual(['0', '35']);
  });
});

describe('parent_id', () => {
  test('lists what moved a transaction, newest first and page by page', async () => {
    const [payer, wallet] = await pair();
    const hold = await shop.posted(transfer(payer, wallet, '10', { status: 'pending' }));
    const parts: string[] = [];
    for (const amount of ['1', '2', '3']) {
      parts.unshift((await shop.move(hold.id, 'post', { amount, final: false })).body.id);
    }
    const page = async (query: string): Promise<Json> =>
      (await shop.client.get(`/v1/transactions?parent_id=${hold.id}${query}`)).body;
    expect((await page('')).data.map((t: Json) => [t.id, t.parent_id])).toEqual(parts.map((id) => [id, hold.id]));
    const first = await page('&limit=2');
    const second = await page(`&limit=2&cursor=${first.next_cursor}`);
    expect([...first.data, ...second.data].map((t: Json) => t.id)).toEqual(parts);
    expect((await page(`&account_id=${shop.accounts[wallet]}`)).data).toHaveLength(3);
    expect((await page('&status=voided')).data).toEqual([]);
    expect((await page('&type=other')).data).toEqual([]);
  });

  test('of another merchant is not found', async () => {
    const [payer, wallet] = await pair();
    const hold = await shop.posted(transfer(payer, wallet, '10', { status: 'pending' }));
    await shop.move(hold.id, 'void');
    const other = await api.merchant();
    const foreign = await other.client.get(`/v1/transactions?parent_id=${hold.id}`);
    expect([foreign.status, foreign.body.code]).toEqual([404, 'not_found']);
  });
});

describe('ignore_floor', () => {
  test('posts and reverses below a floor for an operator who acts for the merchant, and shows it', async () => {
    const [payer, wallet] = await pair();
    const operator = api.actingFor(shop.id);
    const chargeback = transfer(wallet, payer, '30', { type: 'chargeback', ignore_floor: true });
    const posted = await operator.post('/v1/transactions', { body: chargeback, key: `cb-${wallet}` });
    expect(posted.status).toBe(201);
    expect(posted.body).toMatchObject({ ignored_floor: true, balances: [{ available: '-30' }, {}] });
    expect((await shown(posted.body.id)).ignored_floor).toBe(true);
    expect((await shop.post(transfer(wallet, payer, '1'))).body.code).toBe('insufficient_funds');

    const sale = await shop.posted(transfer(payer, wallet, '20'));
    expect(sale.ignored_floor).toBe(false);
    const path = `/v1/transactions/${sale.id}/reverse`;
    expect((await operator.post(path, { key: `no-${wallet}` })).body.code).toBe('insufficient_funds');
    const reversed = await operator.post(path, { body: { ignore_floor: true }, key: `yes-${wallet}` });
    expect([reversed.status, reversed.body.ignored_floor]).toEqual([201, true]);
    expect((await shown(reversed.body.id)).ignored_floor).toBe(true);
    const hold = { ...chargeback, status: 'pending' };
    const held = await operator.post('/v1/transactions', { body: hold, key: `hold-${wallet}` });
    expect([held.status, held.body.ignored_floor]).toEqual([201, true]);
  });

  test("is forbidden to a merchant's own key, burns no key and writes nothing", async () => {
    const [payer, wallet] = await pair();
    const sale = await shop.posted(transfer(payer, wallet, '20'));
    const rows = await api.countRows();
    const body = transfer(wallet, payer, '30', { ignore_floor: true });
    for (const ask of [
      () => shop.post(body, 'floor'),
      () => shop.post({ ...body, dry_run: true }, 'floor'),
      () => shop.move(sale.id, 'reverse', { ignore_floor: true }, 'floor'),
    ]) {
      const refused = await ask();
      expect([refused.status, refused.body.code, refused.body.errors]).toEqual([
        403,
        'forbidden',
        [{ path: 'ignore_floor', message: expect.any(String) }],
      ]);
    }
    expect(await api.countRows()).toEqual(rows);
    expect((await shop.post({ ...body, ignore_floor: false }, 'floor')).body.code).toBe('insufficient_funds');
  });
});

test('a dry run has no id and says so', async () => {
  const [payer, wallet] = await pair();
  const rows = await api.countRows();
  const dry = await shop.client.post('/v1/transactions', { body: transfer(payer, wallet, '9', { dry_run: true }) });
  expect(dry.status).toBe(200);
  expect(dry.body).toMatchObject({ id: null, dry_run: true, balances: [{ available: '-9' }, { available: '9' }] });
  expect(await api.countRows()).toEqual(rows);
  const posted = await shop.posted(transfer(payer, wallet, '9', { dry_run: false }));
  expect('dry_run' in posted).toBe(false);
});

test('events tell the reference and the metadata of what they tell of, and what ignored a floor', async () => {
  const [payer, wallet] = await pair();
  const facts = (name: string) => ({ external_ref: `ref ${name} "é"`, metadata: { name, n: 7, yes: true } });
  const operator = api.actingFor(shop.id);
  const expected = new Map<string, object>();
  const keep = (body: Json, more: object): string => {
    expected.set(body.id, more);
    return body.id;
  };
  const posted = (body: Json, name: string) => shop.posted({ ...body, ...facts(name) });
  const sale = keep(await posted(transfer(payer, wallet, '100'), 'sale'), { ...facts('sale'), ignored_floor: false });
  const reversal = await operator.post(`/v1/transactions/${sale}/reverse`, {
    body: { ...facts('reversal'), ignore_floor: true },
    key: 'reversal-event',
  });
  keep(reversal.body, { ...facts('reversal'), ignored_floor: true });
  const hold = await posted(transfer(payer, wallet, '9', { status: 'pending' }), 'hold');
  keep(hold, { ...facts('hold'), ignored_floor: false });
  const capture = await shop.move(hold.id, 'post', { amount: '4', final: false, ...facts('capture') });
  keep(capture.body, { ...facts('capture'), ignored_floor: false });
  keep((await shop.move(hold.id, 'void', facts('void'))).body, facts('void'));
  const soon = { status: 'pending', expires_at: new Date(Date.now() + 100).toISOString() };
  const brief = await posted(transfer(payer, wallet, '9', soon), 'brief');
  await until(() => Date.now() > Date.parse(brief.expires_at));
  await until(async () => (await holdExpiry(api.app.get(Database), api.app.get(CommandBus)).round()) === 1);
  const [expiry] = (await shop.client.get(`/v1/transactions?parent_id=${brief.id}`)).body.data;
  keep(expiry, { external_ref: null, metadata: {} });
  keep(await shop.posted(transfer(payer, wallet, '1')), { external_ref: null, metadata: {}, ignored_floor: false });

  const told = async (): Promise<Json[]> => {
    const { data } = (await shop.client.get('/v1/events?limit=1000')).body;
    return data.filter((event: Json) => expected.has(event.data.transaction_id));
  };
  // Another database's open transaction may hold the log back for a while.
  await until(async () => (await told()).length === expected.size);
  for (const { data } of await told()) expect(data).toMatchObject(expected.get(data.transaction_id) as object);
});
