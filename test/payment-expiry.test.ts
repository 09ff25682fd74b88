import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { TIMER_CHECKS } from '#payments/timers/checks.js';
import { verify } from '#platform/verify.js';
import { type Json, TestApi } from './support/api.js';
import { Bystander } from './support/bystander.js';
import { DuePayments } from './support/due-payments.js';
import { until } from './support/until.js';
import { expectVerified, offendersOf } from './support/verified.js';
import { startWorker } from './support/worker.js';

const KIND = 'payment_expiry';
const [HOUR_S, WEEK_S] = [3_600, 7 * 86_400];
const isoAgo = (seconds: number) => new Date(Date.now() - seconds * 1_000).toISOString();

let api: TestApi;
let bystander: Bystander;
let due: DuePayments;

beforeAll(async () => {
  api = await TestApi.start();
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

const pendingOf = async (): Promise<string> =>
  (await due.shop.balanceOf(due.shop.accounts['provider_receivable:EUR'] as string)).pending.amount;
const findings = ({ findings }: Json): string[] => findings.map(({ kind }: Json) => kind);

describe('the time of an authorisation', () => {
  test('is the setting’s after its opening, and commits with it', async () => {
    const { id, expires_at } = await due.open();
    const { timeline } = await due.get(id);
    expect(Date.parse(expires_at) - Date.parse(timeline[0].occurred_at)).toBe(WEEK_S * 1_000);
    expect(await due.due(KIND)).toMatchObject([{ subject: id }]);
    expect((await due.due(KIND))[0]?.in_s).toBeGreaterThan(WEEK_S - 120);
  });

  test('is none where all is captured at once, and where only the provider knows', async () => {
    expect(await due.open({ capture: 'automatic' })).toMatchObject({ expires_at: null, status: 'captured' });
    const { payment_id } = await due.tell('p1', 'authorised', { amount: '500' });
    expect(await due.get(payment_id)).toMatchObject({ expires_at: null, amount_capturable: '500' });
    expect(await due.due(KIND)).toEqual([]);
  });

  test.each([
    ['it is captured', 'capture', undefined, 0],
    ['it is voided', 'void', undefined, 0],
    ['some of it is captured, and the rest stays held', 'capture', { amount: '400', final: false }, 1],
  ] as const)('is gone when nothing is held any more: %s', async (_, what, body, left) => {
    const { id } = await due.open();
    await due.ask(id, what, body);
    expect(await due.due(KIND)).toHaveLength(left);
  });
});

test('a payment that is due at another time than its own, or never, is found by verify', async () => {
  const { id } = await due.open();
  await due.pass(KIND, 1);
  const found = async () => offendersOf(await verify(api.on.runtimeUrl, TIMER_CHECKS));
  expect(Object.values(await found())).toEqual([
    [expect.stringMatching(new RegExp(`payment ${id} ends at .* and is due at`))],
  ]);
  await bystander.client.query('UPDATE payments SET expires_at = NULL WHERE id = $1', [id]);
  expect(Object.values(await found())).toEqual([
    [expect.stringMatching(new RegExp(`payment ${id} is due at .* holds nothing`))],
  ]);
  await bystander.client.query('DELETE FROM due_rows WHERE subject_id = $1', [id]);
  await bystander.client.query(`UPDATE payments SET expires_at = '2100-01-01Z' WHERE id = $1`, [id]);
  expect(Object.values(await found())).toEqual([[expect.stringMatching(new RegExp(`payment ${id} .* is never due`))]]);
  await bystander.client.query('UPDATE payments SET expires_at = NULL WHERE id = $1', [id]);
});

describe('when it has come', () => {
  test('what is held is given back, as of then, once', async () => {
    const { id } = await due.open();
    await due.age(id, WEEK_S + HOUR_S);
    expect(await pendingOf()).toBe('1000');
    // Two workers that do not know of each other.
    const rounds = await Promise.all([due.expiries.round(), due.expiries.round()]);
    expect(rounds[0] + rounds[1]).toBe(1);
    const { timeline, ...payment } = await due.get(id);
    expect(payment).toMatchObject({ status: 'expired', amount_capturable: '0', amount_authorised: '1000' });
    expect(timeline.at(-1)).toMatchObject({
      type: 'expired',
      source: 'request',
      event_id: 'request:expiry',
      occurred_at: payment.expires_at,
    });
    expect(await pendingOf()).toBe('0');
    expect(await due.due(KIND)).toEqual([]);
    expect(await due.expiries.round()).toBe(0);
    const { body } = await due.shop.client.get('/v1/events?limit=1000');
    expect(body.data.filter(({ type }: Json) => type === 'payment.expired')).toHaveLength(1);
  });

  test('what was captured stays, and the rest is given back', async () => {
    const { id } = await due.open();
    await due.ask(id, 'capture', { amount: '400', final: false });
    await due.age(id, WEEK_S + HOUR_S);
    await due.expiries.round();
    expect(await due.get(id)).toMatchObject({ status: 'captured', amount_captured: '400', amount_capturable: '0' });
    expect((await due.ask(id, 'capture', { amount: '1' })).code).toBe('invalid_transition');
  });

  test('a capture that happened before counts in full although it is told later, and one after it is found', async () => {
    const [before, after] = [
      { at: 2 * HOUR_S, found: [] },
      { at: HOUR_S / 2, found: ['captured_after_expiry'] },
    ];
    for (const { at, found } of [before, after]) {
      const { id } = await due.open({ provider: 'acme', provider_ref: `late ${at}` });
      await due.age(id, WEEK_S + HOUR_S);
      await due.expiries.round();
      await due.tell(`late ${at}`, 'captured', { amount: '1000', occurred_at: isoAgo(at) });
      const payment = await due.get(id);
      expect(payment).toMatchObject({ status: 'captured', amount_captured: '1000', amount_capturable: '0' });
      expect(findings(payment)).toEqual(found);
    }
  });

  test('for this process’s clock not yet, it is left for later, and that was no failure', async () => {
    const { id } = await due.open();
    await due.pass(KIND, WEEK_S + HOUR_S);
    const work = due.expiries;
    expect([await work.round(), work.failures]).toEqual([0, 0]);
    expect(await due.get(id)).toMatchObject({ status: 'authorised', amount_capturable: '1000' });
    expect(await due.due(KIND)).toMatchObject([{ subject: id, attempts: 0 }]);
    await due.pass(KIND, -(WEEK_S + HOUR_S));
  });

  test('a payment whose facts are as many as it may have expires all the same', async () => {
    const small = await TestApi.start({ on: api.on, environment: { PAYMENT_FACTS_MAX: '10' } });
    try {
      const shop = due.shop.via(small);
      const full = new DuePayments(small, shop, bystander);
      const { id } = await full.open({ provider: 'acme', provider_ref: 'full' });
      for (let more = 0; more < 10; more += 1) await full.tell('full', 'authorised', { amount: '1000' });
      expect((await full.get(id)).timeline).toHaveLength(10);
      await full.age(id, WEEK_S + HOUR_S);
      expect(await full.expiries.round()).toBe(1);
      expect(await full.get(id)).toMatchObject({ status: 'expired', amount_capturable: '0' });
    } finally {
      await small.stop();
    }
  });

  test('a worker finds it by itself', async () => {
    const { id } = await due.open();
    await due.age(id, WEEK_S + HOUR_S);
    const stop = await startWorker(api.on, { PAYMENT_TIMERS_POLL_MS: '50' });
    try {
      await until('the payment has expired', async () => (await due.get(id)).status === 'expired');
    } finally {
      await stop();
    }
  });
});
