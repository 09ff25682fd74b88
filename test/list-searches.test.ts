import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { Cost } from '#platform/cost.js';
import { Deadline } from '#platform/deadline.js';
import { Database } from '#platform/postgres.js';
import { type Client, type Json, type Merchant, TestApi, transfer } from './support/api.js';
import { Contract } from './support/contract.js';
import { asAdmin } from './support/database.js';

/** As few as LIST_SCAN_ROWS takes. */
const SCAN_ROWS = 10;
const ROWS = 60;

let wide: TestApi;
let narrow: TestApi;
let shop: Merchant;
/** The same merchant, by the process that looks at few rows. */
let client: Client;

beforeAll(async () => {
  wide = await TestApi.start();
  narrow = await TestApi.start({ on: wide.on, environment: { LIST_SCAN_ROWS: String(SCAN_ROWS) } });
  await Contract.hold(narrow);
  shop = await wide.merchant('EUR');
  client = narrow.client(shop.client.headers);
  await shop.open('a');
  await shop.open('b');
  await fill();
});
afterEach(() => expect([...wide.errors, ...narrow.errors]).toEqual([]));
afterAll(async () => {
  await narrow.stop();
  await wide.stop();
});

/** Transactions of which every 20th is a fee, every 7th a hold and every 9th has a reference; the last one has many entries. */
async function fill(): Promise<void> {
  const transactions = Array.from({ length: ROWS }, (_, n) =>
    transfer('a', 'b', '1', {
      type: n % 20 === 3 ? 'fee' : 'sale',
      ...(n % 7 === 0 ? { status: 'pending' } : {}),
      ...(n % 9 === 0 ? { external_ref: 'order' } : {}),
      effective_at: n % 15 === 0 ? '2026-03-01T00:00:00Z' : '2026-04-01T00:00:00Z',
    }),
  );
  const wideOne = transfer('a', 'b', '1', { type: 'fee' });
  for (let n = 0; n < 2 * SCAN_ROWS; n += 1) wideOne.entries.push(...transfer('a', 'b', '1').entries);
  await shop.client.post('/v1/transactions/batch', {
    body: { mode: 'atomic', transactions: [...transactions, wideOne] },
    key: 'all',
  });
  await asAdmin(wide.on.ownerUrl, async (admin) => {
    for (const rows of OTHERS) await admin.query(rows, [shop.id]);
  });
}

const IDS = `(SELECT n, (1000000 + n)::bigint << 22 AS id FROM generate_series(1, ${ROWS}) n) ids`;
const OTHERS = [
  `INSERT INTO accounts (merchant_id, id, code, name, currency, normal_side, created_at)
   SELECT $1::bigint, id, 'team:' || n, 'team', CASE n % 20 WHEN 3 THEN 'USD' ELSE 'EUR' END, 1, snowflake_time(id) FROM ${IDS}`,
  `INSERT INTO balances (merchant_id, account_id) SELECT merchant_id, id FROM accounts
    WHERE merchant_id = $1 AND code LIKE 'team:%'`,
  `INSERT INTO payments (merchant_id, id, subject, created_at, provider, provider_ref, capture, status, currency, amount, amount_authorised,
     amount_capturable, amount_captured, amount_refunded, amount_disputed, amount_settled, parts, transactions)
   SELECT $1::bigint, id, 'payment/' || id, snowflake_time(id), CASE n % 20 WHEN 3 THEN 'rare' ELSE 'acme' END, 'ref' || n % 3, 'manual', 'authorised', 'EUR', 1, 1,
     1, 0, 0, 0, 0, '{"captures":[],"refunds":[],"disputes":[],"settlements":[],"findings":[]}', '{}' FROM ${IDS}`,
  `INSERT INTO payouts (merchant_id, id, created_at, amount, currency, fee, destination, status, transactions, timeline)
   SELECT $1::bigint, id, snowflake_time(id), 1, CASE n % 20 WHEN 3 THEN 'USD' ELSE 'EUR' END, 0, 'DE89', CASE n % 25 WHEN 4 THEN 'failed' ELSE 'paid' END,
     '{}', '[{"status":"reserved","at":"2026-03-01T00:00:00.000Z","detail":null,"transaction_id":null}]' FROM ${IDS}`,
  `INSERT INTO settlements (merchant_id, id, business_date, currency, account_id, starts_at, ends_at, gross, refunds, disputes, other, adjustments,
     fees, net, items, looked_through, first_version, last_version)
   SELECT $1::bigint, id, date '2026-01-01' + n, CASE n % 20 WHEN 3 THEN 'USD' ELSE 'EUR' END, 1, date '2026-01-01' + n, date '2026-01-02' + n,
     1, 0, 0, 0, 0, 0, 1, 1, n, n, n FROM ${IDS}`,
  `INSERT INTO daily_summaries (merchant_id, generation, day, account_id, type, currency, debit_count, debit_amount, credit_count, credit_amount)
   SELECT $1::bigint, generation, date '2026-01-01' + n / 4, n % 4, CASE n % 20 WHEN 3 THEN 'fee' ELSE 'sale' END, 'EUR', 1, n, 0, 0
     FROM ${IDS}, projections WHERE name = 'daily_summaries'`,
];

/** All of a list, and how many rows each page had. */
async function walk(asking: Client, path: string): Promise<{ rows: Json[]; pages: number[] }> {
  const rows: Json[] = [];
  const pages: number[] = [];
  for (let cursor = ''; ; ) {
    const { status, body, text } = await asking.get(`/v1/${path}&limit=1000${cursor}`);
    if (status !== 200) throw new Error(text);
    rows.push(...body.data);
    pages.push(body.data.length);
    expect(body.has_more).toBe(body.next_cursor !== null);
    if (!body.has_more) return { rows, pages };
    cursor = `&cursor=${body.next_cursor}`;
  }
}

const withAccount = (path: string): string => path.replace('{a}', String(shop.accounts.a));

describe('what is tested row by row is looked for in so many rows a request', () => {
  test.each([
    ['transactions?type=fee', 4],
    ['transactions?status=posted', 52],
    ['transactions?status=pending&type=fee', 0],
    ['transactions?effective_to=2026-03-02T00:00:00Z', 4],
    ['transactions?effective_from=2026-03-02T00:00:00Z&type=fee&expand=entries', 4],
    ['transactions?external_ref=order&type=fee', 0],
    ['transactions?account_id={a}', 61],
    ['transactions?account_id={a}&type=fee', 4],
    ['transactions?account_id={a}&external_ref=order', 7],
    ['accounts/{a}/entries?effective_to=2026-03-02T00:00:00Z', 4],
    ['accounts?currency=USD', 3],
    ['accounts?code_prefix=team:&currency=USD', 3],
    ['accounts?code_prefix=team:1', 11],
    ['accounts?code_prefix=team:23&currency=USD', 1],
    ['payments?status=authorised&provider=rare', 3],
    ['payments?provider_ref=ref0&status=failed', 0],
    ['payouts?status=failed', 3],
    ['payouts?status=paid&currency=USD', 3],
    ['settlements?currency=USD', 3],
    ['daily_summaries?type=fee', 3],
    ['daily_summaries?currency=USD', 0],
  ])('%s: page by page it is the whole list', async (list, count) => {
    const path = withAccount(list);
    const whole = await walk(shop.client, path);
    const paged = await walk(client, path);
    expect([whole.rows.length, whole.pages.length]).toEqual([count, 1]);
    expect(paged.rows).toEqual(whole.rows);
    expect(Math.max(...paged.pages)).toBeLessThanOrEqual(SCAN_ROWS);
  });

  test.each([
    'transactions?external_ref=order',
    'transactions?status=pending',
    'payments?provider=acme',
    'payments?status=authorised',
    'settlements?business_date=2026-01-04',
    'payouts?',
    'accounts?code_prefix=team:33',
  ])('%s: what an index finds has a page of any length', async (list) => {
    const { rows, pages } = await walk(client, list);
    expect([rows.length > 0, pages.length]).toEqual([true, 1]);
  });

  test('is walked along an index in its order, whatever the planner thinks', async () => {
    const cost = new Cost();
    const bounds = { merchantId: BigInt(shop.id), deadline: Deadline.after(10_000), cost };
    const sorts = (tests: string[]) =>
      wide.app.get(Database).search(
        bounds,
        {
          columns: `current_setting('enable_sort') AS sorts`,
          walk: 'SELECT id FROM merchants WHERE id = $1',
          as: 'm',
          order: ['id'],
          values: [bounds.merchantId],
          limit: 1,
          tests,
        },
        () => undefined,
      );
    expect((await sorts(['true'])).rows).toMatchObject([{ sorts: 'off' }]);
    // One was looked at and found: whoever shows it counts it, and the next read of the page may look at one less.
    expect([cost.rows, cost.passedBy, cost.mayLookAt]).toEqual([0, 0, 9_999]);
    expect((await sorts([])).rows).toMatchObject([{ sorts: 'on' }]);
  });

  test.each(['provider_ref=ref1&status=authorised', 'provider_ref=ref1&provider=acme&status=authorised'])(
    'payments?%s: is walked by the index of the narrowest filter',
    async (filters) => {
      expect((await walk(client, `payments?${filters}`)).pages).toHaveLength(ROWS / 3 / SCAN_ROWS + 1);
    },
  );

  test('so are daily summaries, in the transaction that tells how current they are', async () => {
    const asked = vi.spyOn(wide.app.get(Database), 'transaction');
    try {
      await walk(shop.client, 'daily_summaries?type=fee');
      expect(asked.mock.calls.map(([scope]) => scope)).toEqual([{ merchantIds: [BigInt(shop.id)], walks: true }]);
    } finally {
      asked.mockRestore();
    }
  });

  test('of however many reads its page consists', async () => {
    const { rows, pages } = await walk(client, 'transactions?type=sale');
    expect(rows).toHaveLength(57);
    expect(pages.slice(0, -1).every((length) => length <= SCAN_ROWS)).toBe(true);
    expect(pages).toHaveLength(7);
  });

  test('an empty page goes on behind what was looked at', async () => {
    const first = (await client.get('/v1/transactions?type=nothing')).body;
    expect([first.data, first.has_more]).toEqual([[], true]);
    const { pages } = await walk(client, 'transactions?type=nothing');
    expect(pages).toEqual(Array(Math.floor((ROWS + 1) / SCAN_ROWS) + 1).fill(0));
  });
});
