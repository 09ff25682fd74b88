import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Answer, type Json, TestApi } from './support/api.js';
import { BreakShop, type TestOperator } from './support/breaks.js';
import { Bystander } from './support/bystander.js';
import { Contract } from './support/contract.js';

const HEADER = 'break_id,action,account_debit,account_credit,amount,reason';

let api: TestApi;
let bystander: Bystander;
let shop: BreakShop;
let checker: TestOperator;

beforeAll(async () => {
  api = await TestApi.start();
  await Contract.hold(api);
  bystander = await Bystander.open(api.on);
});
beforeEach(async () => {
  shop = await BreakShop.open(api, bystander.client);
  checker = await shop.operator();
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(async () => {
  await bystander.close();
  await api.stop();
});

const send = (raw: string, key?: string, by = shop.environment): Promise<Answer> =>
  by.client.post('/v1/breaks/proposals', { raw, headers: { 'content-type': 'text/csv' }, ...(key && { key }) });
const file = (...lines: string[]): string => [HEADER, ...lines, ''].join('\n');
const outcomes = ({ body }: Answer): Json[] =>
  body.results.map(({ line, status, problem }: Json) => [line, status, problem?.code]);

describe('a file of proposals', () => {
  test('proposes line by line, each for itself, and says of which line it speaks', async () => {
    const [first, second, third] = [await shop.found(), await shop.found(), await shop.found()];
    const other = await BreakShop.open(api, bystander.client);
    const told = await send(
      file(
        `${first},post,cash:EUR,suspense:EUR,250,"A fee, kept"`,
        `${second},write_off,,,,Too small`,
        `${second},write_off,,,,Twice`,
        `${third},post,nobody,suspense:EUR,250,x`,
        `${third},post,cash:EUR,suspense:EUR,2.50,x`,
        `${third},burn,,,,x`,
        `${await other.found()},write_off,,,,x`,
        'x,write_off,,,,x',
        `${third},write_off,,,9,x`,
        `${third},write_off,,,,`,
        `${third},write_off,,,," "`,
        `${third},write_off,,,,\u200b`,
        `${third},write_off`,
        `${third},post,cash:EUR,suspense:EUR,1,250,A fee`,
        `${third},write_off,,,,Told twice, says the processor`,
        `${third},post,cash:EUR,,250,x`,
        `${second},write_off,,,,Empty cells behind it,,`,
      ),
    );
    expect(outcomes(told)).toEqual([
      [2, 200, undefined],
      [3, 200, undefined],
      [4, 409, 'invalid_transition'],
      [5, 404, 'not_found'],
      [6, 422, 'validation_failed'],
      [7, 422, 'validation_failed'],
      [8, 404, 'not_found'],
      [9, 422, 'validation_failed'],
      [10, 422, 'validation_failed'],
      [11, 422, 'validation_failed'],
      [12, 422, 'validation_failed'],
      [13, 422, 'validation_failed'],
      [14, 422, 'validation_failed'],
      [15, 422, 'validation_failed'],
      [16, 422, 'validation_failed'],
      [17, 422, 'validation_failed'],
      [18, 409, 'invalid_transition'],
    ]);
    const details = told.body.results.map(({ problem }: Json) => problem?.detail);
    expect([4, 8, 13, 14, 15].map((index) => details[index])).toEqual([
      'amount: must be a count of minor units, at least 1',
      'amount: is of a post alone, not of a write_off',
      'line: has 7 cells where the header has 6: a cell with a separator in it must be quoted',
      'line: has 7 cells where the header has 6: a cell with a separator in it must be quoted',
      'account_credit: is needed by a post',
    ]);
    expect((await shop.get(first)).proposal).toMatchObject({
      by: 'environment',
      reason: 'A fee, kept',
      entries: [
        { account_code: 'cash:EUR', direction: 'debit', amount: '250', currency: 'EUR' },
        { account_code: 'suspense:EUR', direction: 'credit', amount: '250', currency: 'EUR' },
      ],
    });
    expect((await shop.get(third)).status).toBe('open');
    expect((await shop.act(checker, first, 'approve')).body.status).toBe('resolved');
  });

  test('under one key is answered once, and no other file is', async () => {
    const id = await shop.found();
    const key = randomUUID();
    const lines = file(`${id},write_off,,,,x`, 'x,write_off,,,,x');
    const [first, again] = [await send(lines, key), await send(lines, key)];
    expect([outcomes(again), again.headers.get('idempotent-replayed')]).toEqual([outcomes(first), 'true']);
    expect(outcomes(first)).toEqual([
      [2, 200, undefined],
      [3, 422, 'validation_failed'],
    ]);
    expect((await send(file(`${id},write_off,,,,y`), key)).body.code).toBe('idempotency_key_reused');
  });

  test('as spreadsheets write it is read', async () => {
    const id = await shop.found();
    const told = await send(`\ufeffReason;BREAK_ID;action\r\n"Größe; egal";${id};write_off\r\n;;\r\n`);
    expect(outcomes(told)).toEqual([[2, 200, undefined]]);
    expect((await shop.get(id)).proposal.reason).toBe('Größe; egal');
  });

  test.each([
    ['without a column that it needs', 'break_id,reason\n1,x\n', 'validation_failed'],
    ['without a line', `${HEADER}\n`, 'validation_failed'],
    ['that is empty', '', 'validation_failed'],
    ['of too many lines', file(...Array.from({ length: 1_001 }, () => '1,write_off,,,,x')), 'validation_failed'],
    ['of too many bytes', file('x'.repeat(1_100_000)), 'payload_too_large'],
  ])('%s is refused as a whole', async (_, raw, code) => {
    expect((await send(raw)).body.code).toBe(code);
  });

  test('is CSV, and an operator’s', async () => {
    expect((await shop.environment.client.post('/v1/breaks/proposals', { body: {} })).body.code).toBe(
      'unsupported_media_type',
    );
    const merchant = { ...shop.environment, client: shop.merchant.client };
    expect((await send(file('1,write_off,,,,x'), undefined, merchant)).body.code).toBe('forbidden');
  });
});
