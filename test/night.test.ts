import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest';
import { Queues } from '#platform/queues.js';
import { type Json, type Merchant, TestApi } from './support/api.js';
import { Bystander } from './support/bystander.js';
import { Contract } from './support/contract.js';
import { keepSpans } from './support/kept-spans.js';
import { daysAgo, finished, noonOf, owe, settle, settlementsOf } from './support/night.js';
import { until } from './support/until.js';
import { expectVerified } from './support/verified.js';
import { startWorker } from './support/worker.js';

const [YESTERDAY, BEFORE] = [daysAgo(1), daysAgo(2)];
const ENVIRONMENT = { SETTLEMENT_RANGE_MERCHANTS: '2', SETTLEMENT_INTERVAL_MS: '3600000' };

let api: TestApi;
let bystander: Bystander;
let stops: (() => Promise<void>)[];

const openApi = async (on?: TestApi['on']): Promise<TestApi> =>
  TestApi.start({ ...(on && { on }), environment: { REDIS_QUEUE_URL: inject('redisQueueUrl'), ...ENVIRONMENT } });

beforeAll(async () => {
  api = await openApi();
  await Contract.hold(api);
  bystander = await Bystander.open(api.on);
  stops = [await startWorker(api.on, ENVIRONMENT), await startWorker(api.on, ENVIRONMENT)];
});
afterEach(async () => {
  expect(api.errors).toEqual([]);
  await expectVerified(api.on);
});
afterAll(async () => {
  await Promise.all(stops.map((stop) => stop()));
  const queues = new Queues(inject('redisQueueUrl'), api.on.runtimeUrl);
  await queues.queue('night').obliterate({ force: true });
  await Promise.all([queues.close(), bystander.close()]);
  await api.stop();
});

const shops = (count: number): Promise<Merchant[]> => Promise.all(Array.from({ length: count }, () => api.merchant()));
const counts = (more: object) => ({ total: 1, settled: 0, empty: 0, not_due: 0, failed: 0, ...more });

describe('a run', () => {
  test('settles each merchant’s day, and shows how it went', async () => {
    const [one, other, idle] = (await shops(3)) as [Merchant, Merchant, Merchant];
    const posted = await owe(one, '1200', YESTERDAY);
    await owe(one, '300', YESTERDAY);
    await owe(other, '50', YESTERDAY);
    await owe(idle, '7', BEFORE);
    const run = await settle(api, YESTERDAY, [one, other, idle]);
    expect(run).toMatchObject({
      status: 'completed',
      merchants: { total: 3, settled: 2, empty: 1, not_due: 0, failed: 0 },
      errors: [],
      eta: null,
    });
    const nothing = { gross: '0', refunds: '0', disputes: '0', adjustments: '0', fees: '0' };
    expect(run.totals).toEqual([{ currency: 'EUR', settlements: 2, ...nothing, other: '1550', net: '1550' }]);
    expect(run.rate).toBeGreaterThan(0);
    expect(run.finished_at >= run.started_at && run.started_at >= run.created_at).toBe(true);
    const [settlement, ...more] = await settlementsOf(one);
    expect(more).toEqual([]);
    expect(settlement).toMatchObject({
      merchant_id: one.id,
      business_date: YESTERDAY,
      currency: 'EUR',
      period: { from: `${YESTERDAY}T00:00:00.000Z`, to: `${daysAgo(0)}T00:00:00.000Z` },
      status: 'posted',
      gross: '0',
      other: '1500',
      adjustments: '0',
      fees: '0',
      net: '1500',
      items: 2,
      transaction_id: null,
    });
    expect((await one.client.get(`/v1/settlements/${settlement.id}`)).body).toEqual(settlement);
    const first = (await one.client.get(`${settlement.lines}?limit=1`)).body;
    const second = (await one.client.get(`${settlement.lines}?limit=1&cursor=${first.next_cursor}`)).body;
    expect([first.data[0].amount, second.data[0].amount, second.has_more]).toEqual(['300', '1200', false]);
    expect(second.data[0]).toEqual({
      kind: 'other',
      payment_id: null,
      transaction_id: posted.id,
      account_version: posted.entries[1].account_version,
      amount: '1200',
      fee: '0',
      fee_plan_id: null,
      fee_plan_version: null,
      effective_at: noonOf(YESTERDAY),
      business_date: YESTERDAY,
    });
  });

  test('settles days that were missed before it, in order, and tells late entries by their own day', async () => {
    const [shop] = (await shops(1)) as [Merchant];
    await owe(shop, '10', BEFORE);
    await owe(shop, '20', YESTERDAY);
    await owe(shop, '3', BEFORE);
    expect((await settle(api, YESTERDAY, [shop])).merchants).toEqual(counts({ settled: 1 }));
    expect((await settlementsOf(shop)).map(({ business_date, net }) => [business_date, net])).toEqual([
      [YESTERDAY, '20'],
      [BEFORE, '13'],
    ]);
    // The second entry lies between those of the first day, and is no line of it.
    const [second, first] = (await settlementsOf(shop)) as [Json, Json];
    const amounts = async ({ lines }: Json) =>
      (await shop.client.get(lines)).body.data.map(({ amount }: Json) => amount);
    expect([await amounts(first), await amounts(second)]).toEqual([['3', '10'], ['20']]);
  });

  test('asked for again is the same answer, and no second effect', async () => {
    const [shop] = (await shops(1)) as [Merchant];
    await owe(shop, '10', YESTERDAY);
    await settle(api, YESTERDAY, [shop]);
    await owe(shop, '5', YESTERDAY);
    const settlements = await settlementsOf(shop);
    expect((await settle(api, YESTERDAY, [shop])).merchants).toEqual(counts({ settled: 1 }));
    expect(await settlementsOf(shop)).toEqual(settlements);
  });

  test('of one day twice at once settles it once', async () => {
    const merchants = await shops(8);
    await Promise.all(merchants.map((shop) => owe(shop, '10', YESTERDAY)));
    const runs = await Promise.all(Array.from({ length: 3 }, () => settle(api, YESTERDAY, merchants)));
    for (const run of runs) expect(run.merchants).toEqual(counts({ total: 8, settled: 8 }));
    for (const shop of merchants) expect(await settlementsOf(shop)).toHaveLength(1);
  });

  test('finds a day that is not over not due', async () => {
    const [shop] = (await shops(1)) as [Merchant];
    const run = await settle(api, daysAgo(0), [shop]);
    expect(run).toMatchObject({ status: 'completed', merchants: counts({ not_due: 1 }), errors: [] });
  });

  test('tells whom it names of days before the merchant; of all merchants that is no error', async () => {
    const [shop] = (await shops(1)) as [Merchant];
    const day = daysAgo(400);
    const run = await settle(api, day, [shop]);
    expect(run.merchants).toEqual(counts({ not_due: 1 }));
    expect(run.errors).toEqual([
      { merchant_id: shop.id, problem: expect.objectContaining({ code: 'validation_failed', status: 422 }) },
    ]);
    expect(run.errors[0].problem.detail).toContain('before the merchant');
    const all = await settle(api, day);
    expect(all.merchants.not_due).toBeGreaterThan(0);
    expect(all.errors.map(({ merchant_id }: Json) => merchant_id)).not.toContain(shop.id);
  });

  test('in which one merchant cannot be settled settles the others; of nobody but him it has failed', async () => {
    const merchants = (await shops(4)) as [Merchant, ...Merchant[]];
    await Promise.all(merchants.map((shop) => owe(shop, '10', YESTERDAY)));
    const [bad, ...good] = merchants;
    await settle(api, YESTERDAY, [bad]);
    // Days from its first one on have been settled: one before cannot be any more.
    const first = await settle(api, BEFORE, [bad]);
    expect(first).toMatchObject({ status: 'failed', merchants: counts({ failed: 1 }) });
    expect(first.errors).toEqual([
      { merchant_id: bad.id, problem: expect.objectContaining({ code: 'invalid_transition' }) },
    ]);
    await Promise.all(good.map((shop) => owe(shop, '10', BEFORE)));
    const run = await settle(api, BEFORE, merchants);
    expect(run).toMatchObject({ status: 'completed', merchants: counts({ total: 4, settled: 3, failed: 1 }) });
    expect(run.errors.map(({ merchant_id }: Json) => merchant_id)).toEqual([bad.id]);
  });
});

test('settlements are found by day and currency, and by nobody else', async () => {
  const [shop, stranger] = [await api.merchant('EUR', 'USD'), await api.merchant()];
  await owe(shop, '10', BEFORE);
  await owe(shop, '20', YESTERDAY);
  await shop.posted({
    type: 'sale',
    effective_at: noonOf(YESTERDAY),
    entries: [
      { account_code: 'cash:USD', direction: 'debit', amount: '5', currency: 'USD' },
      { account_code: 'merchant_payable:USD', direction: 'credit', amount: '5', currency: 'USD' },
    ],
  });
  await settle(api, YESTERDAY, [shop]);
  const nets = async (query: string) => (await settlementsOf(shop, query)).map(({ net }) => net).sort();
  expect(await nets(`?business_date=${YESTERDAY}`)).toEqual(['20', '5']);
  expect(await nets('?currency=EUR')).toEqual(['10', '20']);
  expect(await nets(`?business_date=${YESTERDAY}&currency=USD`)).toEqual(['5']);
  expect(await nets(`?business_date=${daysAgo(3)}`)).toEqual([]);
  const page = (await shop.client.get('/v1/settlements?currency=EUR&limit=1')).body;
  expect(await nets(`?currency=EUR&cursor=${page.next_cursor}`)).toEqual(['10']);
  const { body } = await shop.client.get(`/v1/settlements?currency=USD&cursor=${page.next_cursor}`);
  expect([body.code, body.errors[0].path]).toEqual(['validation_failed', 'cursor']);
  const [{ id }] = (await settlementsOf(shop)) as [Json];
  for (const path of [`/v1/settlements/${id}`, `/v1/settlements/${id}/lines`]) {
    expect((await stranger.client.get(path)).body.code).toBe('not_found');
  }
  expect(await settlementsOf(stranger)).toEqual([]);
});

test('a run’s trace has its jobs, each of which leads to a range, and that to its merchants’ days: none grows with the merchants', async () => {
  // None but those that follow one another.
  const { exporter, telemetry } = keepSpans(0);
  const traced = await openApi(api.on);
  const merchants = await shops(3);
  await Promise.all(merchants.map((shop) => owe(shop, '100', YESTERDAY)));
  const ask = { business_date: YESTERDAY, merchant_ids: merchants.map(({ id }) => id) };
  const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
  const asked = await traced.operator.post('/v1/settlement_runs', { body: ask, headers: { traceparent } });
  const run = await finished(traced, asked.body.id);
  const traceOf = (traceId: unknown) =>
    exporter.getFinishedSpans().filter((span) => span.spanContext().traceId === traceId);
  /** Traces that the spans of this name link to. */
  const linkedFrom = (traceId: unknown, name: string) =>
    traceOf(traceId).flatMap((span) => (span.name === name ? span.links.map(({ context }) => context.traceId) : []));
  const jobsOf = () => traceOf(run.trace_id).filter(({ name }) => name === 'process night');
  await until('its jobs have ended', () => jobsOf().length === 2);
  const root = traceOf(run.trace_id).find(({ name }) => name === 'settlement run');
  for (const job of jobsOf()) expect(job.parentSpanContext?.spanId).toBe(root?.spanContext().spanId);
  expect(new Set(traceOf(run.trace_id).map(({ name }) => name))).toEqual(
    new Set(['settlement run', 'process night', 'UPDATE settlement_runs']),
  );

  const ranges = linkedFrom(run.trace_id, 'process night');
  expect(ranges).toHaveLength(2);
  const days = ranges.map((range) => linkedFrom(range, 'settle range').filter((trace) => trace !== run.trace_id));
  expect(days.map(({ length }) => length).sort()).toEqual([1, 2]);
  for (const [at, range] of ranges.entries()) {
    const [first] = traceOf(range).filter(({ name }) => name === 'settle range');
    expect(first?.attributes).toMatchObject({ 'counterfoil.settlement_run_id': run.id });
    expect(linkedFrom(range, 'settle range')).toContain(run.trace_id);
    for (const day of days[at] ?? []) expect(linkedFrom(day, 'close day')).toEqual([range]);
  }
  // Of one merchant and of two.
  const [one, two] = ranges.map((range) => traceOf(range).map(({ name }) => name));
  expect(one?.toSorted()).toEqual(two?.toSorted());
  expect(one).toContain('INSERT settlement_drafts');
  const merchantsOf = (trace: string) =>
    traceOf(trace).flatMap(({ name, attributes }) =>
      name === 'close day' ? [attributes['counterfoil.merchant_id']] : [],
    );
  expect(days.flat().flatMap(merchantsOf).sort()).toEqual(merchants.map(({ id }) => id).sort());
  await traced.stop();
  await telemetry.shutdown();
});
