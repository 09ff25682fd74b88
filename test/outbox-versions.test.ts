import { readdirSync, readFileSync } from 'node:fs';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { XminMonitor } from '#outbox/relay/xmin-monitor.js';
import { createLogger } from '#platform/logging.js';
import { DailySummaries } from '#summaries/daily-summaries.js';
import { WebhookFanOut } from '#webhooks/fan-out.js';
import { TestOutbox } from './outbox/test-outbox.js';
import { type Merchant, TestApi } from './support/api.js';
import { TestLedger } from './support/ledger.js';
import { until } from './support/until.js';

const GOLDEN = new URL('./golden/events/', import.meta.url);
/** The events of every version that was ever written, oldest versions first. */
const OLD_LOG = readdirSync(GOLDEN)
  .filter((file) => /\.v\d+\.json$/.test(file))
  .map((file) => JSON.parse(readFileSync(new URL(file, GOLDEN), 'utf8')))
  .sort((a, b) => a.version - b.version);

let api: TestApi;
let ledger: TestLedger;
let shop: Merchant;
let owner: pg.Client;
let outbox: TestOutbox;

beforeAll(async () => {
  api = await TestApi.start();
  ledger = await TestLedger.open(api.on);
  shop = await api.merchant();
  owner = new pg.Client({ connectionString: api.on.ownerUrl });
  await owner.connect();
  await shop.client.post('/v1/webhook_endpoints', { body: { url: 'https://example.com/sink' } });
  outbox = await TestOutbox.start(api.on, ledger, { consumers: [new DailySummaries(), new WebhookFanOut()] });
});
afterAll(async () => {
  await outbox.stop();
  await owner.end();
  await ledger.close();
  await api.stop();
});

const append = (type: string, version: number, occurredAt: string, data: unknown) =>
  owner.query('INSERT INTO events (merchant_id, type, version, occurred_at, data) VALUES ($1, $2, $3, $4, $5)', [
    shop.id,
    type,
    version,
    occurredAt,
    JSON.stringify(data),
  ]);
const count = async (sql: string): Promise<number> =>
  (await owner.query<{ n: number }>(sql, [shop.id])).rows[0]?.n ?? 0;
const untilApplied = () =>
  until('both consumers are past the log', async () => {
    const behind = await count(`SELECT count(*)::int AS n FROM events e LEFT JOIN consumer_positions p
      ON p.partition = e.partition AND p.consumer IN ('daily_summaries', 'webhooks')
      WHERE e.merchant_id = $1 AND (p.xid IS NULL OR (e.xid, e.seq) > (p.xid, p.seq))`);
    return behind === 0;
  });

test('a log of yesterday’s versions goes through today’s consumers', async () => {
  expect(OLD_LOG.some(({ version }) => version === 1)).toBe(true);
  for (const { type, version, occurred_at, data } of OLD_LOG) await append(type, version, occurred_at, data);
  await untilApplied();
  expect(await count('SELECT count(*)::int AS n FROM dead_letters WHERE merchant_id = $1')).toBe(0);
  const told = `SELECT count(*)::int AS n FROM webhook_deliveries d JOIN events e
    ON e.merchant_id = d.merchant_id AND e.xid = d.event_xid AND e.seq = d.event_seq WHERE d.merchant_id = $1 AND e.occurred_at < '2026-11-23T00:00:00Z'`;
  expect(await count(told)).toBe(OLD_LOG.length);
  const posted = OLD_LOG.flatMap(({ data }) => data.entries ?? []).filter(({ posted }) => posted !== '0');
  const { body } = await shop.client.get('/v1/daily_summaries?day_from=2026-11-20&day_to=2026-11-21');
  const sums = new Map<string, bigint>();
  for (const { account_id, direction, posted: amount } of posted) {
    const key = `${account_id} ${direction}`;
    sums.set(key, (sums.get(key) ?? 0n) + BigInt(amount));
  }
  expect(sums.size).toBeGreaterThan(0);
  for (const [key, amount] of sums) {
    const [account, direction] = key.split(' ');
    const rows = body.data.filter((row: { account_id: string }) => row.account_id === account);
    const served = rows.reduce(
      (sum: bigint, row: Record<string, { amount: string }>) => sum + BigInt(row[`${direction}s`]?.amount ?? 0),
      0n,
    );
    expect([key, served]).toEqual([key, amount]);
  }
});

test('an event of a version from the future is a dead letter at once, and those behind it go on', async () => {
  const [known] = OLD_LOG.filter(({ type }) => type === 'transaction.posted');
  await append('transaction.posted', 99, known.occurred_at, { shape: 'unknown' });
  await append('transaction.posted', 1, known.occurred_at, known.data);
  await untilApplied();
  const { rows } = await owner.query(
    'SELECT consumer, tries, event_version, error FROM dead_letters WHERE merchant_id = $1',
    [shop.id],
  );
  expect(rows).toEqual([
    {
      consumer: 'daily_summaries',
      tries: expect.any(Number),
      event_version: 99,
      error: expect.stringMatching(/version 99/),
    },
  ]);
  // Found in a page, and once more by itself.
  expect(rows[0].tries).toBeLessThanOrEqual(2);
});

test('a transaction that is left open holds back the log until it is ended', async () => {
  const LIMIT_MS = 3_000;
  const [forgotten, young] = [1, 2].map(() => new pg.Client({ connectionString: api.on.runtimeUrl })) as [
    pg.Client,
    pg.Client,
  ];
  await Promise.all([forgotten.connect(), young.connect()]);
  const ended = new Promise((resolve) => forgotten.on('error', resolve));
  await forgotten.query('BEGIN; SELECT pg_current_xact_id()');
  const logger = createLogger({ level: 'silent', service: 'test' });
  const [watching, ending] = [
    new XminMonitor(ledger.database, logger, 0),
    new XminMonitor(ledger.database, logger, LIMIT_MS),
  ];
  await until('it is seen', async () => {
    await watching.round();
    await ending.round();
    return Math.min(watching.ageMs, ending.ageMs) > 100;
  });
  await until('it is about to be ended', async () => {
    await watching.round();
    return watching.ageMs > LIMIT_MS;
  });
  await young.query('BEGIN; SELECT pg_current_xact_id()');
  await until('it is ended', async () => {
    await ending.round();
    return Promise.race([ended, new Promise((resolve) => setImmediate(() => resolve(undefined)))]);
  });
  // Its transaction is not as old as that: it goes on.
  await young.query('COMMIT');
  await young.end();
  const answer = await until('the log goes on', async () => {
    const { status } = await shop.client.get('/v1/events?limit=1');
    return status;
  });
  expect(answer).toBe(200);
});
