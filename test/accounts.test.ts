import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { migrate } from '#db/migrate.js';
import { FillBackDatedVersions1764200000001 } from '#db/migrations/1764200000000-back-dated-versions.js';
import { type Answer, type Merchant, TestApi, transfer } from './support/api.js';
import { asAdmin } from './support/database.js';
import { transfer as lines, TestLedger } from './support/ledger.js';
import { until } from './support/until.js';
import { expectVerified } from './support/verified.js';

const DAY_MS = 86_400_000;
const SYSTEM_NAMES = [
  'provider_receivable',
  'merchant_payable',
  'fee_revenue',
  'payout_clearing',
  'dispute_reserve',
  'cash',
  'suspense',
  'provider_fees',
];

let api: TestApi;
let shop: Merchant;
/** Past the API: tells no cache, and opens what is reserved. */
let ledger: TestLedger;
beforeAll(async () => {
  // Balances are expected from the cache, and a busy machine is not the subject here.
  api = await TestApi.start({ environment: { BALANCE_REDIS_TIMEOUT_MS: '5000' } });
  ledger = await TestLedger.open(api.on);
});
afterAll(async () => {
  await ledger.close();
  await api.stop();
});
afterEach(async () => {
  await expectVerified(api.on);
});

/** The event types of an account, oldest first. */
async function eventsOf(account: string): Promise<string[]> {
  const { body } = await shop.client.get('/v1/events?limit=1000');
  return body.data
    .filter((event: { data: { account_id?: string } }) => event.data.account_id === account)
    .map((event: { type: string }) => event.type);
}

describe('a balance at a point in time', () => {
  const at = (ms: number): string => new Date(ms).toISOString();
  let wallet: string;
  const read = (more: string): Promise<Answer> => shop.client.get(`/v1/accounts/${wallet}/balance?${more}`);
  beforeAll(async () => {
    shop = await api.merchant();
    wallet = await shop.open('wallet:at');
  });

  test('is at the highest version that it counts, and never older than a min_version of today', async () => {
    const before = Date.now() - DAY_MS;
    await shop.posted(transfer('cash:EUR', 'wallet:at', '5'));
    expect((await read(`at=${at(before)}&min_version=1`)).body).toMatchObject({
      version: '0',
      posted: { amount: '0' },
    });
    await shop.posted(transfer('cash:EUR', 'wallet:at', '7', { effective_at: at(before) }));
    await shop.posted(transfer('cash:EUR', 'wallet:at', '1'));
    expect((await read(`at=${at(before)}&min_version=3`)).body).toMatchObject({
      version: '2',
      posted: { amount: '7' },
    });
    expect((await read(`at=${at(before - 1)}&min_version=3`)).body).toMatchObject({ version: '0' });
    expect((await read(`at=${at(Date.now())}`)).body).toMatchObject({ version: '3', posted: { amount: '13' } });
    const early = await read(`at=${at(before)}&min_version=4`);
    expect([early.status, early.body.errors]).toEqual([
      422,
      [{ path: 'min_version', message: 'is 4, but the account is at version 3' }],
    ]);
  });

  test('does not count an entry that takes effect later, although it was recorded by then', async () => {
    const later = Date.now() + 120_000;
    const { created_at: recorded } = await shop.posted(
      transfer('cash:EUR', 'wallet:at', '100', { effective_at: at(later) }),
    );
    const now = await read(`at=${recorded}&min_version=4`);
    expect(now.body).toMatchObject({ version: '3', posted: { amount: '13' } });
    expect((await read(`at=${at(later - 1)}`)).body).toMatchObject({ version: '3' });
    expect((await read(`at=${at(later)}`)).body).toMatchObject({ version: '4', posted: { amount: '113' } });
  });

  test('is told to the cache: whoever has seen what was dated back never reads an older balance after it', async () => {
    const [from, to] = [shop.accounts['cash:EUR'], await shop.open('wallet:told')].map((id) =>
      BigInt(id as string),
    ) as [bigint, bigint];
    const balance = `/v1/accounts/${to}/balance`;
    await shop.posted(transfer('cash:EUR', 'wallet:told', '5'));
    expect((await shop.client.get(balance)).body).toMatchObject({ version: '1', source: 'cache' });
    await ledger.post(BigInt(shop.id), lines(from, to, 7n));
    expect((await shop.client.get(balance)).body).toMatchObject({ version: '1', source: 'cache' });
    expect((await shop.client.get(`${balance}?at=${at(Date.now() - DAY_MS)}`)).body.version).toBe('0');
    expect((await shop.client.get(balance)).body).toMatchObject({ version: '2', posted: { amount: '12' } });
  });

  test('tells the same in a database whose late entries were written before versions were kept', async () => {
    await asAdmin(api.on.ownerUrl, async (admin) => {
      await admin.query('UPDATE late_sums SET newest_version = 0');
      await admin.query('DELETE FROM schema_migrations WHERE name = $1', [FillBackDatedVersions1764200000001.name]);
    });
    expect(await migrate(api.on.ownerUrl)).toEqual([FillBackDatedVersions1764200000001.name]);
    await expectVerified(api.on);
  });
});

describe('system accounts', () => {
  beforeAll(async () => {
    shop = await api.merchant();
  });

  test('never close', async () => {
    for (const name of SYSTEM_NAMES) {
      const { status, body } = await shop.client.post(`/v1/accounts/${shop.accounts[`${name}:EUR`]}/close`);
      expect({ name, status, code: body.code }).toEqual({ name, status: 409, code: 'invalid_transition' });
    }
    await shop.posted(transfer('provider_receivable:EUR', 'merchant_payable:EUR', '5'));
  });

  test.each(
    SYSTEM_NAMES.flatMap((name) => [
      { code: `${name}:USD`, currency: 'USD' },
      { code: `${name}:USD`, currency: 'EUR' },
      { code: `${name}:eur`, currency: 'EUR' },
      { code: `${name}:till-1`, currency: 'EUR' },
    ]),
  )('their names are reserved: $code in $currency is nobody’s to open', async ({ code, currency }) => {
    for (const normal_side of ['debit', 'credit']) {
      const answer = await shop.client.post('/v1/accounts', { body: { code, name: code, currency, normal_side } });
      expect([answer.status, answer.body.errors]).toEqual([
        422,
        [{ path: 'code', message: 'is reserved for the system accounts' }],
      ]);
    }
  });

  test('leave every other code to the merchant', async () => {
    for (const code of ['cashier:EUR', 'my.cash:EUR', 'cash_register', 'wallet:cash:EUR']) await shop.open(code);
  });

  test.each([
    { code: 'cash:USD', currency: 'EUR', normalSide: 'debit' },
    { code: 'fee_revenue:USD', currency: 'USD', normalSide: 'debit' },
  ] as const)(
    'are such by their facts: a merchant’s own $code in $currency on the $normalSide side closes',
    async (own) => {
      const id = await ledger.createAccount(BigInt(shop.id), own);
      const { status, body } = await shop.client.post(`/v1/accounts/${id}/close`);
      expect([status, body.status]).toEqual([200, 'closed']);
    },
  );

  test('that were closed when they still could be are reopened', async () => {
    const account = shop.accounts['cash:EUR'] as string;
    await asAdmin(api.on.ownerUrl, async (admin) => {
      await admin.query('UPDATE balances SET closed = true WHERE account_id = $1', [account]);
      await admin.query(
        `INSERT INTO events (merchant_id, type, version, occurred_at, data)
         VALUES ($1, 'account.closed', 1, now(), json_build_object('account_id', $2::text))`,
        [shop.id, account],
      );
    });
    expect((await shop.post(transfer('cash:EUR', 'suspense:EUR', '1'))).body.code).toBe('account_closed');
    const reopened = await shop.client.post(`/v1/accounts/${account}/reopen`);
    expect([reopened.status, reopened.body.status]).toEqual([200, 'open']);
    await shop.posted(transfer('cash:EUR', 'suspense:EUR', '1'));
  });
});

describe('reopening', () => {
  test('opens a closed account again, tells it once, and of an open one changes nothing', async () => {
    shop = await api.merchant();
    const wallet = await shop.open('wallet:again');
    const reopen = (): Promise<Answer> => shop.client.post(`/v1/accounts/${wallet}/reopen`);
    expect((await reopen()).body.status).toBe('open');
    for (const _time of ['first', 'second']) {
      expect((await shop.client.post(`/v1/accounts/${wallet}/close`)).body.status).toBe('closed');
      const opened = await reopen();
      expect(opened.status).toBe(200);
      expect(opened.body).toEqual((await shop.client.get(`/v1/accounts/${wallet}`)).body);
      expect((await reopen()).body.status).toBe('open');
    }
    await shop.posted(transfer('cash:EUR', 'wallet:again', '5'));
    const expected = ['account.created', 'account.closed', 'account.reopened', 'account.closed', 'account.reopened'];
    // Another database's open transaction may hold the log back for a while.
    await until('all are told', async () => (await eventsOf(wallet)).length >= expected.length);
    expect(await eventsOf(wallet)).toEqual(expected);
  });

  test('of an account that is not there is not found', async () => {
    shop = await api.merchant();
    const answer = await shop.client.post('/v1/accounts/249956523482091520/reopen');
    expect([answer.status, answer.body.code]).toEqual([404, 'not_found']);
  });
});
