import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { verify } from '#platform/verify.js';
import { SUMMARY_CHECKS } from '#summaries/checks.js';
import { DailySummaries } from '#summaries/daily-summaries.js';
import { TestOutbox } from './outbox/test-outbox.js';
import { adjustOn, moved } from './support/adjustments.js';
import { type Json, type Merchant, TestApi, transfer } from './support/api.js';
import { Contract } from './support/contract.js';
import { asAdmin } from './support/database.js';
import { TestLedger } from './support/ledger.js';
import { until } from './support/until.js';
import { expectVerified, offendersOf } from './support/verified.js';

let api: TestApi;
let contract: Contract;
let ledger: TestLedger;
let outbox: TestOutbox | undefined;
let shop: Merchant;
/** When the postings took effect: long before they are recorded, whatever day that is. */
const TODAY = Date.UTC(2026, 2, 10, 12);

beforeAll(async () => {
  api = await TestApi.start();
  contract = await Contract.hold(api);
  ledger = await TestLedger.open(api.on);
  outbox = await startOutbox();
  shop = await api.merchant('EUR', 'USD');
  await post('1', 'cash:EUR', 'suspense:EUR', 'sale');
  await post('20', 'cash:EUR', 'suspense:EUR', 'sale');
  await post('300', 'suspense:EUR', 'cash:EUR', 'refund');
  await post('4000', 'cash:USD', 'suspense:USD', 'sale');
  await current(shop);
  await spread();
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(async () => {
  await outbox?.stop();
  await ledger.close();
  await api.stop();
});

const startOutbox = () => TestOutbox.start(api.on, ledger, { consumers: [new DailySummaries()] });

const post = (amount: string, from: string, to: string, type: string, atMs = TODAY): Promise<Json> =>
  shop.posted(
    transfer(from, to, amount, { type, currency: from.slice(-3), effective_at: new Date(atMs).toISOString() }),
  );

async function list(of: Merchant, query = ''): Promise<Json> {
  const answer = await of.client.get(`/v1/daily_summaries${query}`);
  if (answer.status !== 200) throw new Error(answer.text);
  return answer.body;
}

/** Waits until everything that was acknowledged is in the summaries. */
function current(of: Merchant): Promise<Json> {
  return until('the summaries are current', async () => {
    const body = await list(of);
    return body.waiting_events === 0 && body;
  });
}

/** The same rows on two further days of the past, as if they had taken effect then. */
function spread(): Promise<unknown> {
  return asAdmin(api.on.ownerUrl, (admin) =>
    admin.query(
      `INSERT INTO daily_summaries SELECT merchant_id, generation, day - back, account_id, type, currency, debit_count, debit_amount,
              credit_count, credit_amount FROM daily_summaries, unnest(ARRAY[1, 40]) back WHERE merchant_id = $1`,
      [shop.id],
    ),
  );
}

const named = (rows: Json[]): string[] => {
  const codes = Object.fromEntries(Object.entries(shop.accounts).map(([code, id]) => [id, code]));
  return rows.map(
    ({ account_id, type, debits, credits }) =>
      `${codes[account_id]} ${type} ${debits.count}×${debits.amount} ${credits.count}×${credits.amount}`,
  );
};

const dayBefore = (back: number): string => new Date(TODAY - back * 86_400_000).toISOString().slice(0, 10);

describe('GET /v1/daily_summaries', () => {
  test('tells what was posted, by account, type and currency', async () => {
    const { data } = await list(shop, `?day_from=${dayBefore(0)}&day_to=${dayBefore(0)}`);
    expect(named(data).sort()).toEqual([
      'cash:EUR refund 0×0 1×300',
      'cash:EUR sale 2×21 0×0',
      'cash:USD sale 1×4000 0×0',
      'suspense:EUR refund 1×300 0×0',
      'suspense:EUR sale 0×0 2×21',
      'suspense:USD sale 0×0 1×4000',
    ]);
    expect(new Set(data.map(({ day }: Json) => day))).toEqual(new Set([dayBefore(0)]));
  });

  test('tells what a payment posted, and not what it holds', async () => {
    const merchant = await api.merchant();
    const [from, to] = ['cash:EUR', 'suspense:EUR'].map((code) => merchant.accounts[code] as string);
    const adjust = (posted: bigint, pending: bigint) =>
      adjustOn(api, merchant, moved(BigInt(from ?? 0), BigInt(to ?? 0), posted, pending, { effectiveAtMs: TODAY }));
    await adjust(0n, 7n);
    await adjust(5n, -7n);
    const { data } = await current(merchant);
    expect(data).toHaveLength(2);
    const [none, five] = [
      { count: '0', amount: '0' },
      { count: '1', amount: '5' },
    ];
    for (const row of [
      { account_id: from, debits: five, credits: none },
      { account_id: to, debits: none, credits: five },
    ]) {
      const told = { ...row, day: dayBefore(0), type: 'test.told', currency: 'EUR' };
      expect(data).toContainEqual(expect.objectContaining(told));
    }
  });

  test('pages through days, newest first, each row once', async () => {
    const whole = (await list(shop)).data;
    expect(whole).toHaveLength(18);
    for (const limit of [1, 5, 17, 18]) {
      const rows: Json[] = [];
      for (let cursor = ''; ; ) {
        const page = await list(shop, `?limit=${limit}${cursor}`);
        rows.push(...page.data);
        if (!page.has_more) break;
        cursor = `&cursor=${page.next_cursor}`;
      }
      expect(rows).toEqual(whole);
    }
    const days = whole.map(({ day }: Json) => day);
    expect(days).toEqual([...days].sort().reverse());
  });

  test('is filtered by days, account, type and currency', async () => {
    const count = async (query: string): Promise<number> => (await list(shop, query)).data.length;
    expect(await count(`?day_to=${dayBefore(1)}`)).toBe(12);
    expect(await count(`?day_from=${dayBefore(1)}`)).toBe(12);
    expect(await count(`?day_from=${dayBefore(39)}&day_to=${dayBefore(2)}`)).toBe(0);
    expect(await count(`?day_from=${dayBefore(40)}&day_to=${dayBefore(40)}`)).toBe(6);
    expect(await count(`?account_id=${shop.accounts['cash:EUR']}`)).toBe(6);
    expect(await count('?type=refund')).toBe(6);
    expect(await count(`?currency=USD&type=sale&day_from=${dayBefore(0)}`)).toBe(2);
  });

  test.each([
    'day_from=2026-02-30',
    'day_from=2026-2-3',
    'day_to=yesterday',
    'day_to=',
    'account_id=x',
    'currency=XXQ',
    'type=%00',
    'generation=1',
  ])('refuses %s', async (query) => {
    expect((await shop.client.get(`/v1/daily_summaries?${query}`)).body.code).toBe('validation_failed');
  });

  test('shows no other merchant’s rows, and a foreign account as an unknown one', async () => {
    const other = await api.merchant();
    expect((await list(other)).data).toEqual([]);
    const seen = async (id: string) => {
      const { status, text, body } = await other.client.get(`/v1/daily_summaries?account_id=${id}`);
      return [status, text.replace(body.trace_id, '')];
    };
    expect(await seen(shop.accounts['cash:EUR'] as string)).toEqual(await seen('17'));
    expect((await other.client.get(`/v1/daily_summaries?account_id=17`)).status).toBe(404);
    const { body: first } = await shop.client.get('/v1/daily_summaries?limit=1');
    expect((await other.client.get(`/v1/daily_summaries?limit=1&cursor=${first.next_cursor}`)).status).toBe(422);
  });

  /** The days of what a merchant of this zone posts with these effective times, one by one. */
  async function daysOf(far: Merchant, times: readonly string[]): Promise<Record<string, string>> {
    for (const [index, effective_at] of times.entries())
      await far.posted(transfer('cash:EUR', 'suspense:EUR', '1', { type: `at-${index}`, effective_at }));
    await current(far);
    const { data } = await list(far, `?account_id=${far.accounts['cash:EUR']}`);
    const dayOf = (index: number) => data.find(({ type }: Json) => type === `at-${index}`).day;
    return Object.fromEntries(times.map((time, index) => [time, dayOf(index)]));
  }

  test.each([
    ['Pacific/Kiritimati', { '2026-03-10T09:59:59.999Z': '2026-03-10', '2026-03-10T10:00:00.000Z': '2026-03-11' }],
    ['Pacific/Pago_Pago', { '2026-03-10T10:59:59.999Z': '2026-03-09', '2026-03-10T11:00:00.000Z': '2026-03-10' }],
    [
      'Europe/Berlin',
      {
        '2026-03-28T22:59:59.999Z': '2026-03-28',
        '2026-03-28T23:00:00.000Z': '2026-03-29',
        '2026-03-29T21:59:59.999Z': '2026-03-29',
        '2026-03-29T22:00:00.000Z': '2026-03-30',
      },
    ],
  ])('counts the days in which things took effect, in the merchant’s own time zone: %s', async (zone, days) => {
    const far = await api.merchantIn(zone);
    expect(await daysOf(far, Object.keys(days))).toEqual(days);
  });

  test('counts each day in the zone that the merchant was in then', async () => {
    const far = await api.merchantIn('Asia/Tokyo');
    await asAdmin(api.on.ownerUrl, (admin) =>
      admin.query(
        `INSERT INTO merchant_time_zones (merchant_id, from_at, from_day, time_zone)
         VALUES ($1, '2026-03-10T05:00:00Z', '2026-03-10', 'America/New_York'),
                ($1, '2026-03-13T15:00:00Z', '2026-03-14', 'Asia/Tokyo')`,
        [far.id],
      ),
    );
    const days = {
      '2026-03-08T16:00:00.000Z': '2026-03-09',
      '2026-03-09T14:59:59.999Z': '2026-03-09',
      '2026-03-09T15:00:00.000Z': '2026-03-10',
      '2026-03-10T04:59:59.999Z': '2026-03-10',
      '2026-03-10T05:00:00.000Z': '2026-03-10',
      '2026-03-11T03:59:59.999Z': '2026-03-10',
      '2026-03-11T04:00:00.000Z': '2026-03-11',
      '2026-03-13T14:59:59.999Z': '2026-03-13',
      '2026-03-13T15:00:00.000Z': '2026-03-14',
    };
    expect(await daysOf(far, Object.keys(days))).toEqual(days);
    expect((await api.operator.get(`/v1/merchants/${far.id}`)).body).toMatchObject({
      time_zone: 'Asia/Tokyo',
      time_zones: [
        { time_zone: 'Asia/Tokyo', from: null },
        { time_zone: 'America/New_York', from: '2026-03-10' },
        { time_zone: 'Asia/Tokyo', from: '2026-03-14' },
      ],
    });
    // The other days of this file are made up; this merchant's are not.
    const wrong = Object.values(offendersOf(await verify(api.on.runtimeUrl, SUMMARY_CHECKS))).flat();
    expect(wrong.filter((offender) => offender.startsWith(`merchant ${far.id}`))).toEqual([]);
  });

  test('counts every day in the zone that took the place of one in which PostgreSQL cannot reckon', async () => {
    const far = await api.merchantIn('UTC');
    await asAdmin(api.on.ownerUrl, (admin) =>
      admin.query(`UPDATE merchants SET time_zone = 'ECT' WHERE id = $1`, [far.id]),
    );
    const path = `/v1/merchants/${far.id}`;
    expect((await api.operator.request('PATCH', path, { body: { time_zone: 'Europe/Paris' } })).status).toBe(200);
    const days = { '2026-03-10T22:59:59.999Z': '2026-03-10', '2026-03-10T23:00:00.000Z': '2026-03-11' };
    expect(await daysOf(far, Object.keys(days))).toEqual(days);
  });

  test('what comes in late changes a day of the past, and as_of says by when it was in', async () => {
    const dayEarlier = `?type=belated&day_from=${dayBefore(2)}&day_to=${dayBefore(2)}`;
    expect((await list(shop, dayEarlier)).data).toEqual([]);
    for (const amount of ['8', '9']) {
      const { created_at } = await post(amount, 'cash:EUR', 'suspense:EUR', 'belated', TODAY - 2 * 86_400_000);
      expect((await current(shop)).as_of > created_at).toBe(true);
    }
    expect(named((await list(shop, dayEarlier)).data).sort()).toEqual([
      'cash:EUR belated 2×17 0×0',
      'suspense:EUR belated 0×0 2×17',
    ]);
    expect((await list(shop, `?type=belated&day_from=${dayBefore(1)}`)).data).toEqual([]);
  });

  test('says how far it has come', async () => {
    const before = await current(shop);
    expect(before.dead_letters).toBe(0);
    await outbox?.stop();
    outbox = undefined;
    const { created_at: first } = await post('5', 'cash:EUR', 'suspense:EUR', 'late');
    await post('5', 'cash:EUR', 'suspense:EUR', 'late');
    const behind = await list(shop);
    expect(behind).toMatchObject({ waiting_events: 2, as_of: first });
    expect((await list(shop, '?type=late')).data).toEqual([]);
    outbox = await startOutbox();
    const after = await current(shop);
    expect(after.as_of > first).toBe(true);
    expect(named((await list(shop, '?type=late')).data).sort()).toEqual([
      'cash:EUR late 2×10 0×0',
      'suspense:EUR late 0×0 2×10',
    ]);
  });
});

test.each([
  { newest: '2026-03-09T23:54:59Z', whole: true },
  { newest: '2026-03-09T23:56:00Z', whole: false },
])(
  'days on which what was forgotten until $newest may have taken effect are not checked',
  async ({ newest, whole }) => {
    const { id, accounts } = await api.merchantIn('UTC');
    await asAdmin(api.on.ownerUrl, async (admin) => {
      await admin.query(`INSERT INTO event_horizons (merchant_id, xid, seq, occurred_at) VALUES ($1, '1', 1, $2)`, [
        id,
        newest,
      ]);
      await admin.query(
        `INSERT INTO daily_summaries (merchant_id, generation, day, account_id, type, currency, debit_count, debit_amount, credit_count, credit_amount)
       SELECT $1, generation, '2026-03-10', $2, 'post-dated', 'EUR', 1, 1, 0, 0 FROM projections WHERE name = 'daily_summaries'`,
        [id, accounts['cash:EUR']],
      );
    });
    const wrong = Object.values(offendersOf(await verify(api.on.runtimeUrl, SUMMARY_CHECKS))).flat();
    expect(wrong.filter((offender) => offender.startsWith(`merchant ${id}`))).toHaveLength(whole ? 1 : 0);
    await asAdmin(api.on.ownerUrl, async (admin) => {
      await admin.query('DELETE FROM event_horizons WHERE merchant_id = $1', [id]);
      await admin.query('DELETE FROM daily_summaries WHERE merchant_id = $1', [id]);
    });
  },
);

test('an event that was given up on is told as missing until it is redriven or discarded, and is no fault before it is redriven', async () => {
  const far = await api.merchantIn('UTC');
  await far.posted(transfer('cash:EUR', 'suspense:EUR', '1'));
  await current(far);
  // It would carry out what is being redriven and discarded.
  await outbox?.stop();
  outbox = undefined;
  const seen: Record<string, [missing: number, faults: number]> = {};
  await asAdmin(api.on.ownerUrl, async (admin) => {
    await admin.query('UPDATE daily_summaries SET generation = 99 WHERE merchant_id = $1', [far.id]);
    await admin.query(
      `INSERT INTO dead_letters (merchant_id, id, consumer, xid, seq, event_type, event_version, parks, tries, error, created_at,
                                 decided_by, decided_at, reason)
       SELECT merchant_id, id, consumer, xid, seq, type, version, 'event', 1, 'e', snowflake_time(id), 'ada', now(), 'cured'
         FROM events, (VALUES ($2::bigint, 'daily_summaries'), ($3, 'another')) AS letter (id, consumer)
        WHERE merchant_id = $1 AND type = 'transaction.posted'`,
      [far.id, ledger.ids.next(), ledger.ids.next()],
    );
    for (const status of ['parked', 'redriving', 'discarding', 'discarded', 'redriven']) {
      await admin.query('UPDATE dead_letters SET status = $2 WHERE merchant_id = $1', [far.id, status]);
      const wrong = Object.values(offendersOf(await verify(api.on.runtimeUrl, SUMMARY_CHECKS))).flat();
      const ours = wrong.filter((offender) => offender.startsWith(`merchant ${far.id}`));
      seen[status] = [(await list(far)).dead_letters, ours.length];
    }
    await admin.query('DELETE FROM dead_letters WHERE merchant_id = $1', [far.id]);
    await admin.query('UPDATE daily_summaries SET generation = 1 WHERE merchant_id = $1', [far.id]);
  });
  expect(seen).toEqual({
    parked: [1, 0],
    redriving: [1, 0],
    discarding: [1, 0],
    discarded: [0, 0],
    redriven: [0, 2],
  });
  outbox = await startOutbox();
});

test('what the runtime role reads is what it may: the generation that is served, and no other', async () => {
  const whole = (await list(shop)).data;
  await asAdmin(api.on.ownerUrl, (admin) =>
    admin.query(`INSERT INTO daily_summaries SELECT merchant_id, 7, day, account_id, type, currency, 9, 9, 9, 9 FROM daily_summaries
      WHERE generation = 1`),
  );
  expect((await list(shop)).data).toEqual(whole);
  // The days that this file made up are what the ledger does not know.
  await asAdmin(api.on.ownerUrl, (admin) =>
    admin.query(`DELETE FROM daily_summaries WHERE merchant_id = $1 AND day <= $2 AND type <> 'belated'`, [
      shop.id,
      dayBefore(1),
    ]),
  );
  await expectVerified(api.on);
});

test('full pages were held to the contract', () => {
  expect([...contract.emptyLists]).toEqual([]);
});
