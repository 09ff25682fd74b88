import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { forgetEvents } from '#outbox/retention.js';
import { DailySummaries } from '#summaries/daily-summaries.js';
import { rebuildDailySummaries } from '#summaries/rebuild.js';
import { TestOutbox } from './outbox/test-outbox.js';
import { type Merchant, TestApi, transfer } from './support/api.js';
import { TestLedger } from './support/ledger.js';
import { until } from './support/until.js';
import { expectVerified } from './support/verified.js';

const DAY_MS = 86_400_000;
let api: TestApi;
let ledger: TestLedger;
let shop: Merchant;
let owner: pg.Client;

beforeAll(async () => {
  api = await TestApi.start();
  ledger = await TestLedger.open(api.on);
  shop = await api.merchant();
  for (let count = 0; count < 5; count += 1) await shop.posted(transfer('cash:EUR', 'suspense:EUR', '1'));
  owner = new pg.Client({ connectionString: api.on.ownerUrl });
  await owner.connect();
});
afterAll(async () => {
  await owner.end();
  await ledger.close();
  await api.stop();
});

const forget = (daysAhead: number) => forgetEvents(ledger.database, 1, Date.now() + daysAhead * DAY_MS);
const kept = async () => (await owner.query<{ n: number }>('SELECT count(*)::int AS n FROM events')).rows[0]?.n ?? 0;

test('nothing is forgotten that a consumer has not got, and the runtime role cannot delete it either', async () => {
  const before = await kept();
  expect(await forget(30)).toBe(0);
  const runtime = new pg.Client({ connectionString: api.on.runtimeUrl });
  await runtime.connect();
  await runtime.query(`SELECT set_config('counterfoil.platform', 'relay', false)`);
  await expect(runtime.query('DELETE FROM events')).rejects.toMatchObject({ code: '42501' });
  await runtime.end();
  expect(await kept()).toBe(before);
});

test('what all are past is forgotten by age; who follows from before is told, and all else stays right', async () => {
  // The newest of all is younger than the rest by its own word: it and what follows it stay.
  await owner.query(`UPDATE events SET occurred_at = now() + interval '40 days'
                      WHERE (merchant_id, xid, seq) = (SELECT merchant_id, xid, seq FROM events ORDER BY xid DESC, seq DESC LIMIT 1)`);
  const outbox = await TestOutbox.start(api.on, ledger, { consumers: [new DailySummaries()] });
  const first = await shop.client.get('/v1/events?limit=2');
  const behind = async (table: string) =>
    (
      await owner.query<{ n: number }>(
        `SELECT count(*)::int AS n FROM events e LEFT JOIN ${table} p USING (partition)
          WHERE p.xid IS NULL OR (e.xid, e.seq) > (p.xid, p.seq)`,
      )
    ).rows[0]?.n;
  // The relay moves its own cursor last.
  await until(
    'all are past',
    async () => (await behind('consumer_positions')) === 0 && (await behind('relay_cursors')) === 0,
  );
  expect(await forget(0)).toBe(0);
  const before = await kept();
  expect(await forget(30)).toBe(before - 1);
  expect(await kept()).toBe(1);
  const refused = await shop.client.get(`/v1/events?after=${first.body.next_cursor}`);
  expect([refused.status, refused.body.errors[0].path]).toEqual([422, 'after']);
  const again = await shop.client.get('/v1/events');
  expect(again.body.data).toHaveLength(1);
  await shop.posted(transfer('cash:EUR', 'suspense:EUR', '1'));
  const followed = await until('the next one is told', async () => {
    const { body } = await shop.client.get(`/v1/events?after=${again.body.next_cursor}`);
    return body.data.length > 0 && body.data;
  });
  expect(followed).toHaveLength(1);
  await outbox.stop();
  await expect(rebuildDailySummaries(ledger.database)).rejects.toThrow(/no longer reaches back/);
});

test('the books are right without what was forgotten', () => expectVerified(api.on));
