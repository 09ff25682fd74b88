import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { DailySummaries } from '#summaries/daily-summaries.js';
import { TestOutbox } from './outbox/test-outbox.js';
import { type Json, type Merchant, TestApi, transfer } from './support/api.js';
import { Contract } from './support/contract.js';
import { asAdmin } from './support/database.js';
import { TestLedger } from './support/ledger.js';
import { until } from './support/until.js';
import { expectVerified } from './support/verified.js';

let api: TestApi;
let contract: Contract;
let ledger: TestLedger;
let outbox: TestOutbox | undefined;
let shop: Merchant;
/** When the postings were made. */
let today: number;

beforeAll(async () => {
  api = await TestApi.start();
  contract = await Contract.hold(api);
  ledger = await TestLedger.open(api.on);
  outbox = await startOutbox();
  shop = await api.merchant('EUR', 'USD');
  today = Date.parse((await post('1', 'cash:EUR', 'suspense:EUR', 'sale')).created_at);
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

const post = (amount: string, from: string, to: string, type: string): Promise<Json> =>
  shop.posted(transfer(from, to, amount, { type, currency: from.slice(-3) }));

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

/** The same rows on two further days of the past, as if they had been recorded then. */
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

const dayBefore = (back: number): string => new Date(today - back * 86_400_000).toISOString().slice(0, 10);

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

  test('counts the days of the merchant’s own time zone', async () => {
    const zones = ['Pacific/Kiritimati', 'Pacific/Pago_Pago'];
    for (const time_zone of zones) {
      const { body } = await api.operator.post('/v1/merchants', {
        body: { name: 'Far', time_zone, settlement_cutoff: '00:00', currencies: ['EUR'] },
      });
      const far = api.withKey(body.api_key.secret);
      const sent = await far.post('/v1/transactions', { body: transfer('cash:EUR', 'suspense:EUR', '1'), key: 'one' });
      const data = await until('it is there', async () => {
        const rows = (await far.get('/v1/daily_summaries')).body.data;
        return rows.length > 0 && rows;
      });
      const local = new Intl.DateTimeFormat('sv', { timeZone: time_zone }).format(new Date(sent.body.created_at));
      expect(data.map(({ day }: Json) => day)).toEqual([local, local]);
    }
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

test('what the runtime role reads is what it may: the generation that is served, and no other', async () => {
  const whole = (await list(shop)).data;
  await asAdmin(api.on.ownerUrl, (admin) =>
    admin.query(`INSERT INTO daily_summaries SELECT merchant_id, 7, day, account_id, type, currency, 9, 9, 9, 9 FROM daily_summaries
      WHERE generation = 1`),
  );
  expect((await list(shop)).data).toEqual(whole);
  // The days that this file made up are what the ledger does not know.
  await asAdmin(api.on.ownerUrl, (admin) =>
    admin.query(`DELETE FROM daily_summaries WHERE merchant_id = $1 AND day <= $2`, [shop.id, dayBefore(1)]),
  );
  await expectVerified(api.on);
});

test('full pages were held to the contract', () => {
  expect([...contract.emptyLists]).toEqual([]);
});
