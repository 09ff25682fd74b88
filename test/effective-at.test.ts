import { CommandBus } from '@nestjs/cqrs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { holdExpiry } from '#ledger/duties/expiry.js';
import { Database } from '#platform/postgres.js';
import { type Json, type Merchant, TestApi, transfer, until } from './support/api.js';
import { Contract } from './support/contract.js';
import { expectVerified } from './support/verified.js';

/** When transactions happened in the world, and what a balance `?at=` then shows. */
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

const MINUTE_MS = 60_000;
const iso = (ms: number): string => new Date(ms).toISOString();

/** A payer with 1,000 and a floor of zero, and somebody who is paid. Funded an hour ago. */
async function funded(): Promise<{ payer: string; payee: string; payerId: string }> {
  const [payer, payee] = [`payer${pairs}`, `payee${pairs++}`];
  const payerId = await shop.open(payer, { min_available: '0' });
  await shop.open(payee);
  await shop.posted(transfer(payee, payer, '1000', { effective_at: iso(Date.now() - 60 * MINUTE_MS) }));
  return { payer, payee, payerId };
}

async function at(accountId: string, ms: number): Promise<{ posted: string; held: string; available: string }> {
  const { body } = await shop.client.get(`/v1/accounts/${accountId}/balance?at=${iso(ms)}`);
  return { posted: body.posted.amount, held: body.pending.debits, available: body.available };
}

const expireHolds = () => holdExpiry(api.app.get(Database), api.app.get(CommandBus)).round();

/** What ends a transaction's effect: how its parent is posted, how it is ended, and the payer's balance once both count. */
const ENDS: Record<
  string,
  { parent: object; end: (id: string, expiresAt: string) => Promise<Json>; before: object; after: object }
> = {
  reversal: {
    parent: {},
    end: async (id) => (await shop.move(id, 'reverse')).body,
    before: { posted: '600', held: '0', available: '600' },
    after: { posted: '1000', held: '0', available: '1000' },
  },
  void: {
    parent: { status: 'pending' },
    end: async (id) => (await shop.move(id, 'void')).body,
    before: { posted: '1000', held: '400', available: '600' },
    after: { posted: '1000', held: '0', available: '1000' },
  },
  capture: {
    parent: { status: 'pending' },
    end: async (id) => (await shop.move(id, 'post')).body,
    before: { posted: '1000', held: '400', available: '600' },
    after: { posted: '600', held: '0', available: '600' },
  },
  expiry: {
    parent: { status: 'pending', expires: true },
    end: async (id, expiresAt) => {
      await until(() => Date.now() > Date.parse(expiresAt));
      await until(async () => (await expireHolds()) === 1);
      return (await shop.client.get(`/v1/transactions?type=expiry&expand=entries&limit=1`)).body.data.find(
        (expiry: Json) => expiry.parent_id === id,
      );
    },
    before: { posted: '1000', held: '400', available: '600' },
    after: { posted: '1000', held: '0', available: '1000' },
  },
};

async function parentOf(from: string, to: string, effectiveAtMs: number, parent: Json): Promise<Json> {
  const { expires, ...rest } = parent;
  const more = { ...rest, ...(expires && { expires_at: iso(Date.now() + 300) }) };
  return shop.posted(transfer(from, to, '400', { effective_at: iso(effectiveAtMs), ...more }));
}

describe.each(Object.entries(ENDS))('%s', (_name, { parent, end, before, after }) => {
  test('of a post-dated transaction takes effect with it: no moment in between shows the one without the other', async () => {
    const { payer, payee, payerId } = await funded();
    const startMs = Date.now();
    const effectiveAtMs = startMs + 4 * MINUTE_MS;
    const { id, expires_at } = await parentOf(payer, payee, effectiveAtMs, parent);
    const ended = await end(id, expires_at);
    expect(ended).toMatchObject({ parent_id: id, effective_at: iso(effectiveAtMs) });
    const untouched = { posted: '1000', held: '0', available: '1000' };
    for (const ms of [startMs - 1, Date.now(), Date.now() + 2_000, effectiveAtMs - 1]) {
      expect(await at(payerId, ms)).toEqual(untouched);
    }
    for (const ms of [effectiveAtMs, effectiveAtMs + 1]) expect(await at(payerId, ms)).toEqual(after);
  });

  test('of a back-dated transaction takes effect when it is made', async () => {
    const { payer, payee, payerId } = await funded();
    const { id, expires_at } = await parentOf(payer, payee, Date.now() - 30 * MINUTE_MS, parent);
    const startMs = Date.now();
    const ended = await end(id, expires_at);
    const endedMs = Date.parse(ended.effective_at);
    expect(ended.effective_at).toBe(ended.created_at);
    expect(endedMs).toBeGreaterThanOrEqual(startMs);
    expect(endedMs).toBeLessThanOrEqual(Date.now());
    for (const ms of [startMs - 29 * MINUTE_MS, endedMs - 1]) expect(await at(payerId, ms)).toEqual(before);
    expect(await at(payerId, endedMs)).toEqual(after);
  });
});

describe.each(['post', 'void', 'reverse'] as const)('%s with effective_at', (what) => {
  const body = what === 'reverse' ? {} : { status: 'pending' };

  test('takes effect then, but never before its parent', async () => {
    const { payer, payee } = await funded();
    const parentMs = Date.now() - 30 * MINUTE_MS;
    const { id } = await parentOf(payer, payee, parentMs, body);
    const rows = await api.countRows();
    const early = await shop.move(id, what, { effective_at: iso(parentMs - 1) });
    expect([early.status, early.body.code, early.body.errors]).toEqual([
      422,
      'validation_failed',
      [{ path: 'effective_at', message: expect.stringContaining(iso(parentMs)) }],
    ]);
    const late = await shop.move(id, what, { effective_at: iso(Date.now() + 6 * MINUTE_MS) });
    expect([late.status, late.body.errors?.[0]?.path]).toEqual([422, 'effective_at']);
    expect(await api.countRows()).toEqual(rows);
    expect((await shop.move(id, what, { effective_at: iso(parentMs) })).body.effective_at).toBe(iso(parentMs));
    const later = await parentOf(payer, payee, parentMs, body);
    const asked = iso(parentMs + 7 * MINUTE_MS);
    expect((await shop.move(later.id, what, { effective_at: asked })).body.effective_at).toBe(asked);
  });

  test('carries references of its own', async () => {
    const { payer, payee } = await funded();
    const { id } = await parentOf(payer, payee, Date.now(), { ...body, external_ref: 'parent', description: 'parent' });
    const facts = { external_ref: `own-${what}`, description: 'came back', metadata: { case: '7', round: 2 } };
    const moved = await shop.move(id, what, facts);
    expect([moved.status, moved.body]).toEqual([201, expect.objectContaining({ ...facts, parent_id: id })]);
    const listed = await shop.client.get(`/v1/transactions?external_ref=own-${what}&expand=entries`);
    expect(listed.body.data).toEqual([moved.body]);
  });
});

test('a statement from a moment on has what was recorded before and takes effect since, and one until a moment ends before it', async () => {
  const { payer, payee, payerId } = await funded();
  const effectiveAtMs = Date.now() + 4 * MINUTE_MS;
  const { id } = await parentOf(payer, payee, effectiveAtMs, {});
  const from = (ms: number) => shop.client.get(`/v1/accounts/${payerId}/entries?effective_from=${iso(ms)}`);
  expect((await from(effectiveAtMs)).body.data.map((line: Json) => line.transaction_id)).toEqual([id]);
  expect((await from(effectiveAtMs + 1)).body.data).toEqual([]);
  const until = (ms: number) => shop.client.get(`/v1/accounts/${payerId}/entries?effective_to=${iso(ms)}`);
  const seen = async (ms: number) => (await until(ms)).body.data.map((line: Json) => line.transaction_id);
  expect(await seen(effectiveAtMs)).not.toContain(id);
  expect(await seen(effectiveAtMs + 1)).toContain(id);
});
