import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest';
import { CacheClient } from '#balances/cache-client.js';
import { cacheKey, encodeValue } from '#balances/cached-balance.js';
import { cacheCheck } from '#balances/checks.js';
import { type Json, TestApi } from './support/api.js';
import { Bystander } from './support/bystander.js';
import { Contract } from './support/contract.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { InternalNights } from './support/internal-night.js';
import { privateRedis } from './support/redis.js';
import { until } from './support/until.js';
import { expectVerified } from './support/verified.js';
import { startWorker } from './support/worker.js';

let on: TestDatabase;
let nights: InternalNights;
let shop: bigint;

beforeEach(async () => {
  on = await freshDatabase();
  nights = await InternalNights.open(on);
  shop = await nights.createMerchant();
});
afterEach(async () => {
  await nights.close();
  await on.drop();
});

const nextNight = async (options?: Parameters<InternalNights['night']>[0]) => {
  await nights.settle(shop);
  return nights.night(options);
};
const breaks = () => nights.breaks(shop);

const OF_SHOP = (where = 'true') => `merchant_id = ${shop} AND ${where}`;
const PAID = () => OF_SHOP(`status = 'paid'`);

/** What somebody with a superuser's rights does and undoes, and the checks that tell it. */
const FAULTS: { title: string; plant: () => string; mend: () => string; told: RegExp }[] = [
  {
    title: 'a balance that is not its entries',
    plant: () => `UPDATE balances SET posted_debits = posted_debits + 1 WHERE ${OF_SHOP('version > 0')}`,
    mend: () => `UPDATE balances SET posted_debits = posted_debits - 1 WHERE ${OF_SHOP('version > 0')}`,
    told: /^I\d.*balance/,
  },
  {
    title: 'a settlement that is not its lines',
    plant: () => `UPDATE settlements SET gross = gross + 1, net = net + 1 WHERE ${OF_SHOP()}`,
    mend: () => `UPDATE settlements SET gross = gross - 1, net = net - 1 WHERE ${OF_SHOP()}`,
    told: /^every settlement, and every one in the making, is the sum/,
  },
  {
    title: 'a payment that is not its transactions',
    plant: () => `UPDATE payments SET amount_captured = amount_captured + 1 WHERE ${OF_SHOP()}`,
    mend: () => `UPDATE payments SET amount_captured = amount_captured - 1 WHERE ${OF_SHOP()}`,
    told: /^every payment is what its facts say/,
  },
  {
    title: 'a payout that is not what is cleared',
    plant: () => `UPDATE payouts SET amount = amount + 1 WHERE ${PAID()}`,
    mend: () => `UPDATE payouts SET amount = amount - 1 WHERE ${PAID()}`,
    told: /^every payout has on its accounts/,
  },
];

describe('after a merchant’s day is settled', () => {
  test('its books are checked once, and of right ones the report has no break', async () => {
    expect(await nights.night()).toBe(1);
    expect(await breaks()).toEqual([]);
    const [report, ...others] = await nights.reports(shop);
    expect(others).toEqual([]);
    expect(report).toMatchObject({ source: 'internal', status: 'completed', failure: null });
    expect(report?.rows).toBeGreaterThan(10);
    const told = await nights.events(shop, 'reconciliation.completed');
    expect(told).toMatchObject([{ source: 'internal', breaks_open: 0 }]);
    expect(await nights.night()).toBe(0);
    expect(await nextNight()).toBe(1);
    expect(await nights.reports(shop)).toHaveLength(2);
  });

  test.each(FAULTS)('$title is a break, once over two nights, which ends when it is mended', async (fault) => {
    await nights.behindTheBack(fault.plant());
    await nights.night();
    const found = await breaks();
    expect(found.map(({ kind, status }) => [kind, status])).toEqual(found.map(() => ['internal_mismatch', 'open']));
    expect(found.map(({ reference }) => reference)).toContainEqual(expect.stringMatching(fault.told));
    expect(await nights.events(shop, 'break.opened')).toHaveLength(found.length);
    await nextNight();
    expect(await breaks()).toEqual(found);
    await nights.behindTheBack(fault.mend());
    await nextNight();
    const why = expect.stringMatching(/^No longer found by the check of \d{4}-\d\d-\d\d\.$/);
    expect(await breaks()).toEqual(found.map((one) => ({ ...one, status: 'auto_resolved', reason: why })));
    expect(await nights.events(shop, 'break.resolved')).toHaveLength(found.length);
    await expectVerified(on);
    await nights.behindTheBack(fault.plant());
    await nextNight();
    expect((await breaks()).slice(found.length)).toMatchObject(
      found.map(({ reference }) => ({ reference, status: 'open' })),
    );
  });

  test('findings of its payments are breaks of their kind, until people decide', async () => {
    await nights.doubt(shop, 'doubted');
    await nights.night();
    const found = await breaks();
    expect(found).toMatchObject([{ kind: 'overcaptured', status: 'open', reference: 'doubted' }]);
    expect(found[0]?.detail).toContain('2000 captured, of 1000 authorised.');
    await nextNight();
    expect(await breaks()).toEqual(found);
    await nights.behindTheBack(`UPDATE breaks SET status = 'resolved', resolution = '{}' WHERE ${OF_SHOP()}`);
    await nights.doubt(shop, 'another');
    await nextNight();
    await nextNight();
    expect(await breaks()).toMatchObject([{ status: 'resolved' }, { reference: 'another', status: 'open' }]);
  });

  test('what a check has no room to name does not end', async () => {
    for (const ref of ['one', 'two', 'three']) await nights.doubt(shop, ref);
    await nights.night();
    await nextNight({ offenders: 2 });
    expect((await breaks()).map(({ status }) => status)).toEqual(['open', 'open', 'open']);
  });

  test('another merchant’s fault is none of its own', async () => {
    const other = await nights.createMerchant();
    await nights.behindTheBack(`UPDATE payouts SET amount = amount + 1 WHERE merchant_id = ${other}`);
    expect(await nights.night()).toBe(2);
    expect([await breaks(), (await nights.breaks(other)).length > 0]).toEqual([[], true]);
  });
});

describe('a check', () => {
  test('that ended between its look and its breaks is made by the next', async () => {
    await nights.behindTheBack(`UPDATE payouts SET amount = amount + 1 WHERE ${PAID()}`);
    const [report] = await nights.begin();
    const bystander = await Bystander.open(on);
    await bystander.client.query('BEGIN');
    await bystander.client.query('LOCK breaks IN EXCLUSIVE MODE');
    await expect(nights.matcher({ stepMs: 500 }).match(report as never)).rejects.toThrow();
    await bystander.release();
    await bystander.close();
    expect([await breaks(), await nights.reports(shop)]).toMatchObject([[], [{ status: 'matching' }]]);
    expect(await nights.matcher().match(report as never)).toBe('completed');
    expect((await breaks()).length).toBeGreaterThan(0);
  });

  test('that two workers begin and make at once is one', async () => {
    await nights.behindTheBack(`UPDATE payouts SET amount = amount + 1 WHERE ${PAID()}`);
    const begun = (await Promise.all([1, 2, 3, 4].map(() => nights.begin()))).flat();
    expect(begun).toHaveLength(1);
    const outcomes = await Promise.all([1, 2].map(() => nights.matcher().match(begun[0] as never)));
    expect(outcomes.toSorted()).toEqual(['completed', 'left']);
    expect(await nights.events(shop, 'reconciliation.completed')).toHaveLength(1);
    const items = await nights.query('SELECT item FROM breaks WHERE merchant_id = $1', [shop]);
    expect(new Set(items.map((row) => JSON.stringify(row))).size).toBe(items.length);
    expect(await nights.events(shop, 'break.opened')).toHaveLength(items.length);
  });

  test('that takes too long has failed and says so, and is made the next day', async () => {
    const [report] = await nights.begin();
    const bystander = await Bystander.open(on);
    await bystander.client.query('BEGIN');
    await bystander.client.query('LOCK payouts IN ACCESS EXCLUSIVE MODE');
    await expect(nights.matcher({ timeoutMs: 300 }).match(report as never)).rejects.toThrow();
    await bystander.release();
    await bystander.close();
    expect(await nights.reports(shop)).toMatchObject([
      { status: 'failed', failure: expect.stringContaining('within 300 ms') },
    ]);
    expect(await nights.night()).toBe(0);
    expect(await nextNight()).toBe(1);
  });

  test('of a later day of the merchant is begun when the one before it is done', async () => {
    const [first] = await nights.begin();
    await nights.settle(shop);
    expect(await nights.begin()).toEqual([]);
    await nights.matcher().match(first as never);
    expect(await nights.begin()).toHaveLength(1);
  });

  test('has only so many merchants in work', async () => {
    for (let count = 0; count < 3; count += 1) await nights.createMerchant();
    const first = await nights.begin(2);
    expect([first.length, (await nights.begin(2)).length]).toEqual([2, 0]);
    for (const report of first) await nights.matcher().match(report);
    expect(await nights.begin(2)).toHaveLength(2);
  });
});

describe('a merchant of whom nothing is settled', () => {
  const DAY_MS = 86_400_000;
  /** As of a moment of its day after the next one. */
  const laterAt = (hour: string) =>
    Date.parse(`${new Date(Date.now() + 2 * DAY_MS).toISOString().slice(0, 10)}T${hour}Z`);
  const merchantIn = async (zone: string) => {
    const id = await nights.settlement.ledger.createMerchant();
    await nights.query('UPDATE merchants SET time_zone = $2 WHERE id = $1', [id, zone]);
    return id;
  };
  const begunFor = async (id: bigint, nowMs: number) =>
    (await nights.begin(100, nowMs)).filter(({ merchantId }) => merchantId === id);

  test('is checked once a day, when that has ended where it is', async () => {
    const tokyo = await merchantIn('Asia/Tokyo');
    expect(await begunFor(tokyo, Date.now())).toEqual([]);
    const [first, ...others] = await begunFor(tokyo, laterAt('14:59:59'));
    expect(others).toEqual([]);
    await nights.matcher().match(first as never);
    expect(await begunFor(tokyo, laterAt('14:59:59'))).toEqual([]);
    const [second] = await begunFor(tokyo, laterAt('15:00:01'));
    await nights.matcher().match(second as never);
    const periods = (await nights.reports(tokyo)).map(({ status, period_to }) => [
      status,
      new Date(period_to ?? 0).getTime(),
    ]);
    expect(periods).toEqual([
      ['completed', laterAt('15:00:00') - DAY_MS],
      ['completed', laterAt('15:00:00')],
    ]);
  });

  test('any more is checked as well, from the second day on', async () => {
    const settled = await nights.begin();
    for (const report of settled) await nights.matcher().match(report);
    await nights.query(
      `UPDATE settlement_positions SET ended_at = date_trunc('day', now(), 'UTC') WHERE merchant_id = $1`,
      [shop],
    );
    await nights.query(`UPDATE merchants SET time_zone = 'UTC' WHERE id = $1`, [shop]);
    await nights.query(
      `UPDATE reconciliations SET period_to = date_trunc('day', now(), 'UTC') WHERE merchant_id = $1`,
      [shop],
    );
    expect(await begunFor(shop, laterAt('00:00:01') - DAY_MS)).toEqual([]);
    expect(await begunFor(shop, laterAt('00:00:01'))).toEqual([]);
    expect(await begunFor(shop, laterAt('00:00:01') + DAY_MS)).toHaveLength(1);
  });
});

describe('POST /v1/reconciliations?source=internal', () => {
  test('checks a merchant’s books now; asked again while that runs it is the same check', async () => {
    const api = await TestApi.start({ on, environment: { REDIS_QUEUE_URL: inject('redisQueueUrl') } });
    await Contract.hold(api);
    try {
      const acting = api.actingFor(String(shop));
      const ask = (more = '', options = {}) => acting.post(`/v1/reconciliations?source=internal${more}`, options);
      const asked = await Promise.all([ask(), ask(), ask('', { key: 'one' }), ask('', { key: 'one' })]);
      expect(asked.map(({ status }) => status)).toEqual([202, 202, 202, 202]);
      expect(new Set(asked.map(({ body }) => body.id)).size).toBe(1);
      expect(asked[0]?.body).toMatchObject({ source: 'internal', status: 'matching', asked_by: 'environment' });
      for (const [more, options] of [
        ['&sla_days=1', {}],
        ['&period_from=2026-01-01T00:00:00Z', {}],
        ['', { raw: 'x', headers: { 'content-type': 'text/csv' } }],
      ] as const) {
        const { status, body } = await ask(more, options);
        expect([more, status, body.code]).toEqual([more, 422, 'validation_failed']);
      }
      const { id } = asked[0]?.body ?? {};
      expect(await nights.matcher().match({ merchantId: shop, id: BigInt(id) })).toBe('completed');
      const again = await ask();
      expect([again.status, again.body.id === id]).toEqual([202, false]);
      await nights.matcher().match({ merchantId: shop, id: BigInt(again.body.id) });
      // The settled day has its own, whatever was asked for.
      expect(await nights.night()).toBe(1);
      expect(api.errors).toEqual([]);
    } finally {
      await api.stop();
    }
  });
});

test('what the cache serves and the ledger lacks is a break, which stays while Redis is away', async () => {
  const redis = await privateRedis();
  const client = new CacheClient({ url: redis.url, timeoutMs: 2_000 });
  const raw = new Redis(redis.url);
  raw.on('error', () => undefined);
  try {
    await client.ready();
    const outside = [cacheCheck(client, nights.settlement.ledger.database)];
    const [account] = await nights.query<{ id: string }>('SELECT id::text FROM accounts WHERE merchant_id = $1', [
      shop,
    ]);
    const key = cacheKey({ merchantId: shop, accountId: BigInt(account?.id ?? 0) });
    const wrong = { postedDebits: 9n, postedCredits: 9n, pendingDebits: 0n, pendingCredits: 0n, asOfMs: Date.now() };
    await raw.hset(key, { ver: '999', val: encodeValue(wrong), die: String(Date.now() + 600_000) });
    await nights.night({ outside });
    const found = await breaks();
    expect(found).toMatchObject([{ status: 'open', object_ref: `account ${account?.id}` }]);
    expect(found[0]?.reference).toMatch(/^I5: the cache serves/);
    await redis.crash(async () => void (await nextNight({ outside })));
    expect(await breaks()).toEqual(found);
    await client.ready();
    await nextNight({ outside });
    expect(await breaks()).toMatchObject([{ status: 'auto_resolved' }]);
  } finally {
    raw.disconnect();
    await client.close();
    await redis.stop();
  }
});

test('a worker does so by itself soon after its start, however rarely it looks, and GET /v1/jobs tells when', async () => {
  const api = await TestApi.start({ on, environment: { REDIS_QUEUE_URL: inject('redisQueueUrl') } });
  await nights.behindTheBack(`UPDATE payouts SET amount = amount + 1 WHERE ${PAID()}`);
  const stop = await startWorker(on, {
    RECONCILIATION_CHECK_INTERVAL_MS: '3600000',
    RECONCILIATION_INTERVAL_MS: '200',
  });
  try {
    const acting = api.actingFor(String(shop));
    // The worker settles later days as well; what was there in the first is a break of it alone.
    const report = await until('it is completed', async () => {
      const first = (await acting.get('/v1/reconciliations?source=internal')).body.data.at(-1);
      return first?.status === 'completed' && first;
    });
    expect(report).toMatchObject({
      source: 'internal',
      breaks: { by_kind: { internal_mismatch: expect.any(Number) } },
    });
    const { data: shown } = (await acting.get(`/v1/reconciliations/${report.id}/breaks`)).body;
    expect(shown.map(({ reference }: Json) => reference)).toContainEqual(expect.stringMatching(/^every payout has on/));
    expect(shown[0]).toMatchObject({
      kind: 'internal_mismatch',
      status: 'open',
      expected: null,
      actual: null,
      difference: null,
    });
    const duty = await until('it is noted down', async () => {
      const { data } = (await api.operator.get('/v1/jobs')).body;
      return data.find(({ name }: { name: string }) => name === 'begin checks of settled merchants');
    });
    expect(duty.every_ms).toBe(3_600_000);
  } finally {
    await stop();
    await api.stop();
  }
});
