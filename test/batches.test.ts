import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, type Json, type Merchant, TestApi, transfer } from './support/api.js';
import { Contract } from './support/contract.js';

let api: TestApi;
let shop: Merchant;

beforeAll(async () => {
  api = await TestApi.start();
  await Contract.hold(api);
  shop = await api.merchant('EUR');
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(() => api.stop());

describe('batches', () => {
  const batch = (mode: string, transactions: unknown[], key = `${mode}-${randomUUID()}`): Promise<Answer> =>
    shop.client.post('/v1/transactions/batch', { body: { mode, transactions }, key });

  test('an independent batch answers each transaction in order, refusals among them', async () => {
    const { payer, wallet, walletId } = await shop.pair('independent');
    const { status, body } = await batch('independent', [
      transfer(payer, wallet, '10'),
      transfer(wallet, payer, '11'),
      transfer(payer, 'nobody', '1'),
      transfer(wallet, payer, '10'),
    ]);
    expect(status).toBe(200);
    expect(body.results.map((result: Json) => [result.status, result.problem?.code])).toEqual([
      [201, undefined],
      [422, 'insufficient_funds'],
      [404, 'not_found'],
      [201, undefined],
    ]);
    expect(await shop.balanceOf(walletId)).toMatchObject({ available: '0', version: '2' });
  });

  test('an atomic batch commits whole, or names its first failing transaction and leaves nothing', async () => {
    const { payer, wallet, walletId } = await shop.pair('atomic');
    const failed = await batch('atomic', [
      transfer(payer, wallet, '10'),
      transfer(wallet, payer, '11'),
      transfer(payer, payer, '1'),
    ]);
    expect(failed.status).toBe(422);
    expect(failed.body).toMatchObject({
      code: 'insufficient_funds',
      errors: [{ path: 'transactions.1' }, { path: 'transactions.1.entries.0' }],
    });
    expect((await shop.balanceOf(walletId)).version).toBe('0');
    const whole = await batch('atomic', [transfer(payer, wallet, '10'), transfer(wallet, payer, '10')]);
    expect(whole.body.results.map((result: Json) => result.status)).toEqual([201, 201]);
    expect((await shop.balanceOf(walletId)).version).toBe('2');
  });

  test('a malformed transaction of an independent batch is a problem in its place, and the others post', async () => {
    const { payer, wallet, walletId } = await shop.pair('malformed');
    const good = transfer(payer, wallet, '1');
    const items = [
      good,
      transfer(payer, wallet, '0'),
      { ...good, surprise: 1 },
      { ...good, dry_run: true },
      { ...good, ignore_floor: true },
      { ...good, effective_at: '2199-01-01T00:00:00Z' },
      7,
      null,
      good,
    ];
    const { status, body } = await batch('independent', items, 'malformed-batch');
    expect(status).toBe(200);
    expect(
      body.results.map(({ status, problem }: Json) => [status, problem?.code, problem?.errors?.[0]?.path]),
    ).toEqual([
      [201, undefined, undefined],
      [422, 'validation_failed', 'entries.0.amount'],
      [422, 'validation_failed', 'surprise'],
      [422, 'validation_failed', 'dry_run'],
      [403, 'forbidden', 'ignore_floor'],
      [422, 'validation_failed', 'effective_at'],
      [422, 'validation_failed', 'transaction'],
      [422, 'validation_failed', 'transaction'],
      [201, undefined, undefined],
    ]);
    for (const { problem } of body.results) if (problem) expect(problem.trace_id).toMatch(/^[0-9a-f]{32}$/);
    expect(await shop.balanceOf(walletId)).toMatchObject({ available: '2', version: '2' });
    const again = await batch('independent', items, 'malformed-batch');
    expect([again.body, again.headers.get('idempotent-replayed')]).toEqual([body, 'true']);
    const none = await batch('independent', [7, {}]);
    expect([none.status, none.body.results.map((result: Json) => result.status)]).toEqual([200, [422, 422]]);
    const unknown = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`bad${index}`, 1]));
    const many = await batch('independent', [{ ...good, ...unknown }]);
    expect(many.body.results[0].problem.errors).toHaveLength(5);
  });

  test('an atomic batch is refused with its first failing transaction, be it malformed or refused, and burns no key', async () => {
    const { payer, wallet, walletId } = await shop.pair('atomic-malformed');
    const [good, poor] = [transfer(payer, wallet, '1'), transfer(wallet, payer, '2')];
    const malformed = transfer(payer, wallet, '0');
    const first = await batch('atomic', [good, malformed, poor], 'atomic-malformed');
    expect([first.status, first.body.code, first.body.errors.slice(0, 2).map(({ path }: Json) => path)]).toEqual([
      422,
      'validation_failed',
      ['transactions.1', 'transactions.1.entries.0.amount'],
    ]);
    const dry = await batch('atomic', [{ ...good, dry_run: true }], 'atomic-malformed');
    expect(dry.body.errors.map(({ path }: Json) => path)).toEqual(['transactions.0', 'transactions.0.dry_run']);
    const floor = await batch('atomic', [{ ...good, ignore_floor: true }], 'atomic-malformed');
    expect([floor.status, floor.body.errors[1].path]).toEqual([403, 'transactions.0.ignore_floor']);
    expect((await shop.balanceOf(walletId)).version).toBe('0');
    expect((await batch('atomic', [good], 'atomic-malformed')).status).toBe(200);
    expect((await batch('atomic', [good, transfer(wallet, payer, '9'), malformed])).body).toMatchObject({
      code: 'insufficient_funds',
      errors: [{ path: 'transactions.1' }, {}],
    });
    const bulk = await batch(
      'independent',
      Array.from({ length: 1_001 }, () => good),
    );
    expect(bulk.body).toMatchObject({ code: 'validation_failed', errors: [{ path: 'transactions' }] });
  });

  test('an operator who acts for the merchant ignores a floor for one transaction of a batch', async () => {
    const { payer, wallet, walletId } = await shop.pair('batch-floor');
    const poor = transfer(wallet, payer, '5');
    const { body } = await api.actingFor(shop.id).post('/v1/transactions/batch', {
      body: { mode: 'independent', transactions: [poor, { ...poor, ignore_floor: true }] },
      key: 'batch-floor',
    });
    expect(body.results.map((result: Json) => result.problem?.code ?? result.transaction.ignored_floor)).toEqual([
      'insufficient_funds',
      true,
    ]);
    expect((await shop.balanceOf(walletId)).available).toBe('-5');
  });
});
