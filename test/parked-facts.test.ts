import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { TIMER_CHECKS } from '#payments/timers/checks.js';
import { verify } from '#platform/verify.js';
import { freePort } from '../scripts/ports.mjs';
import { type Json, TestApi } from './support/api.js';
import { Bystander } from './support/bystander.js';
import { Contract } from './support/contract.js';
import { DuePayments } from './support/due-payments.js';
import { until } from './support/until.js';
import { expectVerified, offendersOf } from './support/verified.js';
import { startWorker } from './support/worker.js';

const KIND = 'parked_fact';
const [HOUR_S, WEEK_S] = [3_600, 7 * 86_400];
const DECISION = { by: 'ada', reason: 'the provider says it was a test' };

let api: TestApi;
let bystander: Bystander;
let due: DuePayments;

beforeAll(async () => {
  api = await TestApi.start();
  await Contract.hold(api);
  bystander = await Bystander.open(api.on);
});
beforeEach(async () => {
  due = new DuePayments(api, await api.merchant(), bystander);
});
afterEach(async () => {
  expect(api.errors).toEqual([]);
  await expectVerified(api.on);
});
afterAll(async () => {
  await bystander.close();
  await api.stop();
});

const letters = async (): Promise<Json[]> =>
  (await api.operator.get(`/v1/dead_letters?consumer=payment_facts&merchant_id=${due.shop.id}`)).body.data;
const letter = async (): Promise<Json> => {
  const [one, ...more] = await letters();
  expect(more).toEqual([]);
  return (await api.operator.get(`/v1/dead_letters/${one?.id}`)).body;
};
const decide = (id: string, what: 'redrive' | 'discard') =>
  api.operator.post(`/v1/dead_letters/${id}/${what}`, { body: DECISION, key: randomUUID() });
const outcomes = async (id: string): Promise<string[]> =>
  (await due.get(id)).timeline.map(({ type, outcome }: Json) => `${type} ${outcome}`);
const giveUp = async () => {
  await due.pass(KIND, WEEK_S + HOUR_S);
  return due.parked.round();
};

describe('a fact that waits for its cause', () => {
  test('has a time, as long as it waits', async () => {
    expect(await due.tell('p1', 'refunded', { amount: '300' })).toEqual({ outcome: 'parked' });
    expect(await due.tell('p1', 'captured', { amount: '500' })).toEqual({ outcome: 'parked' });
    expect((await due.due(KIND)).map(({ in_s }) => Math.round(in_s / HOUR_S))).toEqual([168, 168]);
    await due.tell('p1', 'authorised', { amount: '500' });
    expect(await due.due(KIND)).toEqual([]);
  });

  test('waits again when its cause is taken back', async () => {
    const { payment_id } = await due.tell('p1', 'authorised', { amount: '500' });
    await due.tell('p1', 'captured', { amount: '500', object_ref: 'c1' });
    await due.tell('p1', 'refunded', { amount: '300', object_ref: 'r1' });
    await due.tell('p1', 'capture_failed', { amount: '500', object_ref: 'c1' });
    expect(await outcomes(payment_id)).toContain('refunded parked');
    expect(await due.due(KIND)).toHaveLength(1);
    await due.tell('p1', 'captured', { amount: '400', object_ref: 'c2' });
    expect(await due.due(KIND)).toEqual([]);
  });

  test('survives the end of every process, with its time', async () => {
    const first = await TestApi.start({ on: api.on });
    await new DuePayments(first, due.shop.via(first), bystander).tell('p1', 'refunded', { amount: '300' });
    await first.stop();
    expect(await due.due(KIND)).toHaveLength(1);
    const second = await TestApi.start({ on: api.on });
    try {
      const after = new DuePayments(second, due.shop.via(second), bystander);
      const { payment_id } = await after.tell('p1', 'captured', { amount: '500', sequence: 1 });
      expect(await after.get(payment_id)).toMatchObject({ amount_refunded: '300', status: 'partially_refunded' });
    } finally {
      await second.stop();
    }
  });
});

test('a fact that waits without a time, or is due and does not wait, is found by verify', async () => {
  const found = async () => offendersOf(await verify(api.on.runtimeUrl, TIMER_CHECKS));
  await due.tell('p1', 'refunded', { amount: '300', event_id: 'evt_1' });
  await bystander.client.query('UPDATE due_rows SET subject_id = subject_id + 1 WHERE kind = $1', [KIND]);
  const [offenders] = Object.values(await found());
  expect(offenders?.toSorted()).toEqual([
    expect.stringMatching(/: fact \d+ is due or a dead letter, and does not wait$/),
    `merchant ${due.shop.id}: fact evt_1 of acme/p1 waits and is neither due nor a dead letter`,
  ]);
  await bystander.client.query('UPDATE due_rows SET subject_id = subject_id - 1 WHERE kind = $1', [KIND]);
  await due.tell('p1', 'captured', { amount: '500', sequence: 1 });
});

describe('one that has waited for too long', () => {
  test('is a dead letter that says what it is, once', async () => {
    await due.tell('p1', 'refunded', { amount: '300', object_ref: 'r1', event_id: 'evt_1' });
    expect(await due.parked.round()).toBe(0);
    await due.pass(KIND, WEEK_S + HOUR_S);
    const rounds = await Promise.all([due.parked.round(), due.parked.round()]);
    expect(rounds[0] + rounds[1]).toBe(1);
    expect(await letter()).toMatchObject({
      merchant_id: due.shop.id,
      consumer: 'payment_facts',
      status: 'parked',
      parks: 'event',
      tries: 1,
      error: 'No payment acme/p1 is known.',
      event: {
        type: 'payment.refunded',
        version: null,
        position: null,
        data: { subject: 'acme/p1', event_id: 'evt_1', amount: '300', currency: 'EUR', object_ref: 'r1' },
      },
    });
    expect(await due.due(KIND)).toEqual([]);
    expect(await due.parked.round()).toBe(0);
  });

  test('is applied by itself when its cause arrives after all, and its letter is settled', async () => {
    await due.tell('p1', 'refunded', { amount: '300' });
    await giveUp();
    const { payment_id } = await due.tell('p1', 'captured', { amount: '500', sequence: 1 });
    expect(await due.get(payment_id)).toMatchObject({ amount_refunded: '300' });
    expect(await letter()).toMatchObject({
      status: 'redriven',
      decided_by: 'counterfoil',
      reason: 'Its cause arrived.',
    });
  });

  test('waits for as long again when an operator has it redriven, and is a dead letter again then', async () => {
    await due.tell('p1', 'refunded', { amount: '300' });
    await giveUp();
    const { id } = await letter();
    expect((await decide(id, 'redrive')).body).toMatchObject({ status: 'redriving', decided_by: 'ada' });
    expect(await due.settleLetters()).toBe(1);
    expect(await letter()).toMatchObject({ status: 'redriven', decided_by: 'ada', reason: DECISION.reason });
    expect((await due.due(KIND)).map(({ in_s }) => Math.round(in_s / HOUR_S))).toEqual([168]);
    expect(await due.settleLetters()).toBe(0);
    await giveUp();
    expect(await letter()).toMatchObject({ id, status: 'parked', tries: 2, decided_by: null });
  });

  test('leaves the set for good when an operator discards it, with who and why', async () => {
    await due.tell('p1', 'refunded', { amount: '300', event_id: 'evt_1' });
    await giveUp();
    const { id } = await letter();
    await decide(id, 'discard');
    expect(await due.settleLetters()).toBe(1);
    expect(await letter()).toMatchObject({ status: 'discarded', decided_by: 'ada', reason: DECISION.reason });
    const { payment_id } = await due.tell('p1', 'captured', { amount: '500', sequence: 1 });
    const { timeline, ...payment } = await due.get(payment_id);
    expect(payment).toMatchObject({ amount_refunded: '0', status: 'captured' });
    expect(timeline[0]).toMatchObject({
      outcome: 'discarded',
      reason: `Discarded by ada: ${DECISION.reason}`,
      transaction_id: null,
    });
    const { occurred_at } = timeline[0];
    const again = { amount: '300', event_id: 'evt_1', occurred_at };
    expect(await due.tell('p1', 'refunded', again)).toMatchObject({ outcome: 'duplicate' });
    expect(await due.get(payment_id)).toMatchObject({ amount_refunded: '0' });
    expect((await decide(id, 'redrive')).body.code).toBe('invalid_transition');
  });

  test('is not discarded when its cause was faster', async () => {
    await due.tell('p1', 'refunded', { amount: '300' });
    await giveUp();
    await decide((await letter()).id, 'discard');
    const { payment_id } = await due.tell('p1', 'captured', { amount: '500', sequence: 1 });
    await due.settleLetters();
    expect(await letter()).toMatchObject({ status: 'redriven', decided_by: 'counterfoil' });
    expect(await due.get(payment_id)).toMatchObject({ amount_refunded: '300' });
  });
});

test('a worker does all of it by itself, and tells how many wait and since when', async () => {
  const port = String(await freePort());
  await due.tell('p1', 'refunded', { amount: '300' });
  await due.tell('p2', 'refunded', { amount: '300' });
  await bystander.client.query(
    `UPDATE due_rows SET due_at = due_at - interval '100 hours', try_at = try_at - interval '100 hours' WHERE kind = $1 AND merchant_id = $2`,
    [KIND, due.shop.id],
  );
  const stop = await startWorker(api.on, { PAYMENT_TIMERS_POLL_MS: '50', METRICS_PORT: port });
  try {
    const metrics = async () => (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    const waiting = await until('they are counted', async () => {
      const text = await metrics();
      return /^counterfoil_parked_facts(\{.*\})? 2$/m.test(text) && text;
    });
    const age = Number(/^counterfoil_parked_facts_oldest_seconds(?:\{.*\})? (\S+)$/m.exec(waiting)?.[1]);
    expect(age).toBeGreaterThan(100 * HOUR_S - 60);
    expect(age).toBeLessThan(100 * HOUR_S + 60);
    await due.pass(KIND, WEEK_S);
    const [one] = await until('both are dead letters', async () => {
      const all = await letters();
      return all.length === 2 && all;
    });
    await decide(one?.id, 'discard');
    await until('it is discarded', async () => (await letters()).some(({ status }) => status === 'discarded'));
  } finally {
    await stop();
  }
});
