import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest';
import { FORMATS, type Format, type Planted, plant } from './reconciliation/planted.js';
import { linesOf } from './reconciliation/writers.js';
import { type Json, type Merchant, TestApi } from './support/api.js';
import { asAdmin } from './support/database.js';
import { until } from './support/until.js';
import { upload } from './support/uploads.js';
import { startWorker } from './support/worker.js';

/** What is planted is found, and nothing else: over the routes, through a worker. 500 payments are a thousand rows. */

const PAYMENTS = Number(process.env.PLANTED_PAYMENTS ?? 500);
const DAY_MS = 86_400_000;
/** Whole seconds, as two of the formats tell time. */
const AT_MS = Math.floor(Date.now() / 1_000) * 1_000 - 6 * DAY_MS;
let api: TestApi;
let stop: () => Promise<void>;

beforeAll(async () => {
  api = await TestApi.start({ environment: { REDIS_QUEUE_URL: inject('redisQueueUrl') } });
  stop = await startWorker(api.on, { RECONCILIATION_INTERVAL_MS: '200', RECONCILIATION_CHUNK_ROWS: '300' });
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(async () => {
  await stop();
  await api.stop();
});

describe.each(FORMATS)('of a report in the format %s', (format) => {
  test('without faults every row is matched, and nothing is broken', async () => {
    const planted = plant(format, { payments: PAYMENTS, faulty: 0, atMs: AT_MS });
    const { report, found } = await reconcile(format, planted);
    expect(found).toEqual([]);
    expect(report).toMatchObject({ rows: planted.rows.length, rows_bad: 0, matched: planted.rows.length, expected: 0 });
  });

  test('with faults of each kind all are found, and none besides', async () => {
    const planted = plant(format, { payments: PAYMENTS, faulty: Math.ceil(PAYMENTS / 60), atMs: AT_MS });
    const { report, found } = await reconcile(format, planted);
    const right = found.filter((one) => planted.expected.includes(one)).length;
    const [precision, recall] = [right / found.length, right / planted.expected.length];
    console.log(`${format}: ${report.rows} rows, ${found.length} breaks: precision ${precision}, recall ${recall}`);
    expect(found).toEqual(planted.expected);
    expect([precision, recall]).toEqual([1, 1]);
    expect(report).toMatchObject({ rows: planted.rows.length, rows_bad: 0, matched: planted.matched });
  });
});

async function reconcile(format: Format, { events, rows, batch }: Planted): Promise<{ report: Json; found: string[] }> {
  const merchant = await api.merchant('EUR', 'USD');
  await tellAll(merchant, events);
  const period = `period_from=${new Date(AT_MS - DAY_MS).toISOString()}&period_to=${new Date(AT_MS + DAY_MS).toISOString()}`;
  const options = { merchantId: merchant.id, query: `source=${format}&${period}` };
  const { status, text, body } = await upload(api, options, [...linesOf(format, rows, batch)].join(''));
  expect(status, text).toBe(202);
  const report = await until('it is completed', async () => {
    const { body: now } = await api.actingFor(merchant.id).get(`/v1/reconciliations/${body.id}`);
    return now.status === 'completed' && now;
  });
  return { report, found: await breaksOf(merchant.id) };
}

async function tellAll({ client }: Merchant, events: readonly Json[]): Promise<void> {
  for (let from = 0; from < events.length; from += 1_000) {
    const page = events.slice(from, from + 1_000);
    const { body, text } = await client.post('/v1/provider_events/batch', { body: { events: page } });
    const outcomes = new Set(body.results?.map(({ outcome }: Json) => outcome));
    if (outcomes.size !== 1 || !outcomes.has('applied')) throw new Error(text.slice(0, 500));
  }
}

const breaksOf = (merchantId: string): Promise<string[]> =>
  asAdmin(api.on.ownerUrl, async (owner) => {
    const text = `SELECT kind || ' ' || coalesce(reference, '') AS found FROM breaks WHERE merchant_id = $1`;
    return (await owner.query(text, [merchantId])).rows.map(({ found }) => found).sort();
  });
