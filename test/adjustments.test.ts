import { randomUUID } from 'node:crypto';
import type { QueryRunner } from 'typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import {
  Adjustments1764600000000,
  ValidateAdjustments1764600000001,
} from '#db/migrations/1764600000000-adjustments.js';
import { adjustedId, adjustOn, moved, submitAdjustment } from './support/adjustments.js';
import { type Merchant, TestApi, transfer } from './support/api.js';
import { Contract } from './support/contract.js';
import { asAdmin, freshDatabase } from './support/database.js';
import { transfer as lines, postedId, TestLedger } from './support/ledger.js';
import { expectVerified } from './support/verified.js';

const HOUR_MS = 3_600_000;

describe('an adjustment', () => {
  let api: TestApi;
  let shop: Merchant;
  let receivable: bigint;
  let payable: bigint;
  const start = Date.now() - 3 * HOUR_MS;

  beforeAll(async () => {
    api = await TestApi.start({ environment: { BALANCE_REDIS_TIMEOUT_MS: '5000' } });
    await Contract.hold(api);
    shop = await api.merchant();
    [receivable, payable] = ['provider_receivable:EUR', 'merchant_payable:EUR'].map((code) =>
      BigInt(shop.accounts[code] as string),
    ) as [bigint, bigint];
  });
  afterEach(() => expect(api.errors).toEqual([]));
  afterAll(async () => {
    await expectVerified(api.on);
    await api.stop();
  });

  const adjust = (posted: bigint, pending: bigint, afterHours: number): Promise<string> =>
    adjustOn(
      api,
      shop,
      moved(receivable, payable, posted, pending, {
        externalRef: 'pi_1',
        effectiveAtMs: start + afterHours * HOUR_MS,
        metadata: '{"payment":"7"}',
      }),
    );

  test('is shown with what it posted and held, in lists, statements and balances of any time', async () => {
    const authorised = await adjust(0n, 100n, 0);
    const captured = await adjust(60n, -100n, 1);
    const mixed = await adjust(5n, 3n, 2);
    const { body } = await shop.client.get(`/v1/transactions/${captured}`);
    expect(body).toMatchObject({
      status: 'posted',
      type: 'test.told',
      external_ref: 'pi_1',
      parent_id: null,
      metadata: { payment: '7' },
      amount_remaining: '0',
      amount_reversed: '0',
      ignored_floor: false,
      entries: [
        { account_code: 'provider_receivable:EUR', direction: 'debit', amount: '60', posted: '60', pending: '-100' },
        { account_code: 'merchant_payable:EUR', direction: 'credit', amount: '60', posted: '60', pending: '-100' },
      ],
      balances: [{ posted: { amount: '60' }, pending: { amount: '0' } }, { posted: { amount: '60' } }],
    });
    const list = async (query: string) => (await shop.client.get(`/v1/transactions?${query}`)).body.data;
    const shown = [
      { id: mixed, status: 'posted', amount: '5', currency: 'EUR' },
      { id: captured, status: 'posted', amount: '60', currency: 'EUR' },
      { id: authorised, status: 'posted', amount: '100', currency: 'EUR' },
    ];
    for (const query of ['status=posted', 'external_ref=pi_1', `account_id=${payable}`]) {
      expect(await list(query)).toMatchObject(shown);
    }
    expect(await list('status=pending')).toEqual([]);
    expect((await list('expand=entries'))[0].entries[0]).toMatchObject({ posted: '5', pending: '3' });
    const { data } = (await shop.client.get(`/v1/accounts/${receivable}/entries`)).body;
    expect(data.map(({ effect, amount }: { effect: string; amount: string }) => [effect, amount])).toEqual([
      ['post', '5'],
      ['capture', '60'],
      ['hold', '100'],
    ]);
    const at = async (hours: number) => {
      const when = encodeURIComponent(new Date(start + hours * HOUR_MS).toISOString());
      const { posted, pending } = await shop.balanceOf(String(receivable), `?at=${when}`);
      return [posted.amount, pending.amount];
    };
    expect([await at(-1), await at(0.5), await at(1.5), await at(2.5)]).toEqual([
      ['0', '0'],
      ['0', '100'],
      ['60', '0'],
      ['65', '3'],
    ]);
    expect(await shop.balanceOf(String(receivable))).toMatchObject({ version: '3', posted: { amount: '65' } });
  });

  test('is not to be captured, voided or reversed', async () => {
    const id = await adjust(1n, 1n, 0);
    for (const what of ['post', 'void', 'reverse'] as const) {
      const { status, body } = await shop.move(id, what);
      expect([what, status, body.code, body.detail]).toEqual([
        what,
        409,
        'invalid_transition',
        `Transaction ${id} (test.told) belongs to a payment, a settlement or a payout, and changes by way of that alone.`,
      ]);
    }
    expect((await shop.client.get(`/v1/transactions/${id}`)).body).toMatchObject({ amount_reversed: '0' });
  });

  test('is nothing that a client can ask for, and other transactions show no such fields', async () => {
    const body = transfer('cash:EUR', 'suspense:EUR', '5');
    const asked = { ...body, kind: 'adjust' };
    const withPending = { ...body, entries: body.entries.map((entry: object) => ({ ...entry, pending: '1' })) };
    for (const wrong of [asked, withPending]) expect((await shop.post(wrong)).status).toBe(422);
    const { entries } = await shop.posted(body);
    for (const entry of entries) expect(Object.keys(entry)).not.toContain('pending');
  });

  test('is written once for a key; a refusal writes nothing, and a mistake fails by itself', async () => {
    const ledger = await TestLedger.open(api.on);
    const merchant = await ledger.createMerchant();
    const [from, to] = [
      await ledger.createAccount(merchant, { code: 'from' }),
      await ledger.createAccount(merchant, { code: 'to' }),
    ];
    const idempotency = { key: randomUUID(), requestSha256: Buffer.alloc(32, 1) };
    const submit = (adjustment: ReturnType<typeof moved>) =>
      submitAdjustment(ledger, ledger.context(merchant), adjustment, idempotency);
    const id = adjustedId(await submit(moved(from, to, 2n, 1n)));
    expect(await submit(moved(from, to, 2n, 1n))).toMatchObject({ kind: 'replayed', response: `{"id":"${id}"}` });
    const other = () => submitAdjustment(ledger, ledger.context(merchant), moved(from, to, 0n, -2n));
    const [mistake, neighbour] = await Promise.allSettled([other(), ledger.post(merchant, lines(from, to, 1n))]);
    expect(mistake).toMatchObject({
      reason: { message: `an adjustment releases more than is held on account ${from}` },
    });
    expect(neighbour.status).toBe('fulfilled');
    const crooked = moved(from, to, 1n, 0n);
    crooked.entries = crooked.entries.slice(0, 1);
    const refused = await submitAdjustment(ledger, ledger.context(merchant), crooked);
    expect(refused).toMatchObject({ decisions: [{ accepted: false, code: 'unbalanced_entries' }] });
    const { count } = await asAdmin(api.on.ownerUrl, async (admin) => {
      const text = `SELECT count(*)::int FROM transactions WHERE merchant_id = $1 AND kind = 'adjustment'`;
      return (await admin.query(text, [merchant])).rows[0];
    });
    expect(count).toBe(1);
    await ledger.close();
  });
});

test('a database of the version before takes adjustments once it is migrated, and knows its rows to be valid', async () => {
  const on = await freshDatabase();
  const ledger = await TestLedger.open(on, { attempts: 1 });
  try {
    const merchant = await ledger.createMerchant();
    const [from, to] = [
      await ledger.createAccount(merchant, { code: 'from' }),
      await ledger.createAccount(merchant, { code: 'to' }),
    ];
    const migrated = (work: (runner: QueryRunner) => Promise<void>) =>
      asAdmin(on.ownerUrl, (admin) => work({ query: (text: string) => admin.query(text) } as unknown as QueryRunner));
    await migrated((runner) => new Adjustments1764600000000().down(runner));
    const adjust = () => submitAdjustment(ledger, ledger.context(merchant), moved(from, to, 2n, 1n));
    await expect(adjust()).rejects.toThrow(/transactions_kind/);
    postedId(await ledger.post(merchant, lines(from, to, 1n)));
    await migrated((runner) => new Adjustments1764600000000().up(runner));
    postedId(await ledger.post(merchant, lines(from, to, 1n)));
    adjustedId(await adjust());
    await migrated((runner) => new ValidateAdjustments1764600000001().up(runner));
    const checks = await asAdmin(on.ownerUrl, async (admin) => {
      const text = `SELECT conname, convalidated FROM pg_constraint
                     WHERE conrelid = 'transactions'::regclass AND contype = 'c' AND pg_get_constraintdef(oid) LIKE '%kind%' ORDER BY 1`;
      return (await admin.query(text)).rows;
    });
    expect(checks).toEqual([
      { conname: 'transactions_kind', convalidated: true },
      { conname: 'transactions_parent', convalidated: true },
    ]);
    await expectVerified(on);
  } finally {
    await ledger.close();
    await on.drop();
  }
});
