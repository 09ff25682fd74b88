import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Answer, TestApi } from './support/api.js';
import { BreakShop, type TestOperator } from './support/breaks.js';
import { Bystander } from './support/bystander.js';
import { Contract } from './support/contract.js';
import { expectVerified } from './support/verified.js';

let api: TestApi;
let bystander: Bystander;
let shop: BreakShop;
let maker: TestOperator;
let checker: TestOperator;

beforeAll(async () => {
  api = await TestApi.start();
  await Contract.hold(api);
  bystander = await Bystander.open(api.on);
});
beforeEach(async () => {
  shop = await BreakShop.open(api, bystander.client);
  [maker, checker] = [await shop.operator(), await shop.operator()];
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(async () => {
  await expectVerified(api.on);
  await bystander.close();
  await api.stop();
});

const told = ({ status, body }: Answer) => [status, body.code];

test('a break can be rejected however much has been said of it, and takes no more comments then', async () => {
  const id = await shop.found();
  await bystander.client.query(
    `UPDATE breaks SET comments = (SELECT json_agg(json_build_object('text', 'x', 'by', 'y', 'at', '2026-11-20T10:00:00.000Z'))
                                     FROM generate_series(1, 200)) WHERE id = $1`,
    [id],
  );
  expect((await shop.act(maker, id, 'propose', shop.posting())).status).toBe(200);
  expect((await shop.act(checker, id, 'comment', { text: 'No.' })).body.code).toBe('validation_failed');
  const rejected = await shop.act(checker, id, 'reject', { reason: 'No.' });
  expect([rejected.status, rejected.body.status]).toEqual([200, 'open']);
  expect(rejected.body.comments[200]).toMatchObject({ text: 'No.', by: checker.name });
  expect((await shop.act(maker, id, 'comment', { text: 'Still.' })).body.code).toBe('validation_failed');
});

test('a proposal to post more than an amount can be is refused when it is made', async () => {
  const id = await shop.found();
  const proposed = await shop.act(maker, id, 'propose', shop.posting('9007199254740992'));
  expect(told(proposed)).toEqual([422, 'amount_out_of_range']);
  expect((await shop.get(id)).status).toBe('open');
});
