import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type Json, type Merchant, TestApi } from './support/api.js';
import { Contract } from './support/contract.js';
import { reportFixture } from './support/reports.js';
import { upload } from './support/uploads.js';

const FIXTURE = reportFixture('adyen-settlement-detail.csv');
const OWN = 'NordwindCoffeeECOM';
const ROWS = FIXTURE.trimEnd().split('\n').length - 1;
const SECRET = '44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056';

let api: TestApi;
let shop: Merchant;
beforeAll(async () => {
  api = await TestApi.start();
  await Contract.hold(api);
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(() => api.stop());

const connect = (body: object, provider = 'adyen', secret = SECRET) =>
  shop.client.request('PUT', `/v1/providers/${provider}`, { body: { webhook_secret: secret, ...body } });
const read = async (report = FIXTURE) => {
  const of = { merchantId: shop.id, query: 'source=adyen_settlement_detail' };
  const { body } = await upload(api, of, report);
  const bad = (await api.actingFor(shop.id).get(`/v1/reconciliations/${body.id}/bad_rows`)).body.data;
  return { rows: body.rows, bad: bad.map(({ line, problem }: Json) => [line, problem]) };
};
/** Its first row is another merchant's. */
const MIXED = FIXTURE.replace(`\n`, '\r').replace(OWN, 'KäseECOM').replace('\r', '\n');

test('rows of another account than the merchant’s are bad rows that name it', async () => {
  shop = await api.merchant();
  expect((await connect({ accounts: ['Elsewhere', OWN] })).body.accounts).toEqual(['Elsewhere', OWN]);
  expect(await read(MIXED)).toEqual({
    rows: ROWS - 1,
    bad: [[2, `Merchant Account: "KäseECOM" is no account of this merchant, but Elsewhere, ${OWN}`]],
  });
  await connect({ accounts: ['Elsewhere'] });
  const { rows, bad } = await read();
  expect([rows, bad.length]).toEqual([0, ROWS]);
  // Left out it stays.
  expect((await connect({})).body.accounts).toEqual(['Elsewhere']);
  expect((await shop.client.get('/v1/providers/adyen')).body.accounts).toEqual(['Elsewhere']);
});

test('rows of any account are read where none is set, or no more, and for another merchant', async () => {
  const other = await api.merchant();
  shop = other;
  await connect({ accounts: ['Elsewhere'] });
  shop = await api.merchant();
  expect(await read(MIXED)).toEqual({ rows: ROWS, bad: [] });
  shop = other;
  expect((await connect({ accounts: null })).body.accounts).toBeNull();
  expect(await read(MIXED)).toEqual({ rows: ROWS, bad: [] });
  await connect({ accounts: ['Elsewhere'] });
  expect((await shop.client.request('DELETE', '/v1/providers/adyen')).status).toBe(204);
  expect(await read(MIXED)).toEqual({ rows: ROWS, bad: [] });
});

test.each([
  ['adyen', []],
  ['adyen', [' ']],
  ['adyen', 'x'],
  ['acme', ['x']],
])('of %s the accounts %j are refused', async (provider, accounts) => {
  shop = await api.merchant();
  const secret = provider === 'adyen' ? SECRET : 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
  const { status, body } = await connect({ accounts }, provider, secret);
  expect([status, body.code]).toEqual([422, 'validation_failed']);
});
