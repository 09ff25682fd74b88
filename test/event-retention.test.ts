import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { forgetEvents } from '#outbox/log/retention.js';
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
  await owner.query(`UPDATE events SET occurred_at = occurred_at - interval '40 days'`);
});
afterAll(async () => {
  await owner.end();
  await ledger.close();
  await api.stop();
});

const forget = (days: number, nowMs = Date.now()) => forgetEvents(ledger.database, days, nowMs);
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
  // The newest of all is of today: it and what follows it stay, whatever is asked for.
  await owner.query(`UPDATE events SET occurred_at = now()
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
  expect(await forget(50)).toBe(0);
  const before = await kept();
  await expectRefusedToStrangers();
  const cursorBehind = async (count: number) =>
    (await shop.client.get(`/v1/events?limit=${count}`)).body.next_cursor as string;
  const [justBefore, atHorizon] = [await cursorBehind(before - 2), await cursorBehind(before - 1)];
  expect(await forget(1, Date.now() + 30 * DAY_MS)).toBe(before - 1);
  expect(await kept()).toBe(1);
  const refused = await shop.client.get(`/v1/events?after=${first.body.next_cursor}`);
  expect([refused.status, refused.body.errors[0].path]).toEqual([422, 'after']);
  // Whoever has read all that was forgotten misses nothing; one event less, and he would.
  expect((await shop.client.get(`/v1/events?after=${justBefore}`)).status).toBe(422);
  expect((await shop.client.get(`/v1/events?after=${atHorizon}`)).body.data).toHaveLength(1);
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

/** Of the same partition, by whoever the runtime role says that it is. */
async function expectRefusedToStrangers(): Promise<void> {
  const before = await kept();
  const runtime = new pg.Client({ connectionString: api.on.runtimeUrl });
  await runtime.connect();
  for (const merchants of ['', '{1}', `{${shop.id}}`]) {
    await runtime.query(`SELECT set_config('counterfoil.merchant_ids', $1, false)`, [merchants]);
    const { rows } = await runtime.query(
      `SELECT sum(forget_events(p::smallint, now() + interval '1 year', 1000))::int AS forgotten FROM generate_series(0, 63) p`,
    );
    expect(rows).toEqual([{ forgotten: 0 }]);
  }
  await runtime.end();
  expect(await kept()).toBe(before);
}

test('the books are right without what was forgotten', async () => {
  // As if the transactions had been dated back with their events.
  await owner.query(`UPDATE event_horizons SET occurred_at = occurred_at + interval '40 days'`);
  await owner.query(
    `UPDATE events SET occurred_at = occurred_at + interval '40 days' WHERE occurred_at < now() - interval '30 days'`,
  );
  await expectVerified(api.on);
});
