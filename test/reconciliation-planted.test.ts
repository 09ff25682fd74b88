import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest';
import { fillPayouts, plantBank } from './reconciliation/bank-planted.js';
import { statementLines } from './reconciliation/bank-writer.js';
import { fillPlanted, tellPlanted } from './reconciliation/ledger-of.js';
import { FORMATS, type Format, plant } from './reconciliation/planted.js';
import { linesOf } from './reconciliation/writers.js';
import { type Json, type Merchant, TestApi } from './support/api.js';
import { until } from './support/until.js';
import { Upload } from './support/uploads.js';
import { startWorker } from './support/worker.js';

/**
 * What is planted is found, and nothing else: over the routes, through a worker. Longer, of so many rows:
 * `npm run test:faults -- planted --rows 1000,100000`.
 */
const { PLANTED_ROWS = '1000' } = process.env;
const SIZES = PLANTED_ROWS.split(',').map(Number);
/** Up to so many rows the ledger is told by a provider; of more it would take longer than all the rest. */
const TOLD_ROWS = 1_000;
const CHARACTERS_AT_ONCE = 1_048_576;
const DAY_MS = 86_400_000;
const WITHIN_MS = 20 * 60_000;
/** Whole seconds, as two of the formats tell time. */
const AT_MS = Math.floor(Date.now() / 1_000) * 1_000 - 6 * DAY_MS;
const PERIOD = `period_from=${new Date(AT_MS - DAY_MS).toISOString()}&period_to=${new Date(AT_MS + DAY_MS).toISOString()}`;
let api: TestApi;
let owner: pg.Client;
let stop: () => Promise<void>;

beforeAll(async () => {
  api = await TestApi.start({ environment: { REDIS_QUEUE_URL: inject('redisQueueUrl') } });
  owner = new pg.Client({ connectionString: api.on.ownerUrl });
  await owner.connect();
  const rows = Math.max(...SIZES) > TOLD_ROWS ? '20000' : '300';
  stop = await startWorker(api.on, { RECONCILIATION_INTERVAL_MS: '200', RECONCILIATION_CHUNK_ROWS: rows });
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(async () => {
  await stop();
  await owner.end();
  await api.stop();
});

const CASES = SIZES.flatMap((rows) => [...FORMATS, 'camt053' as const].map((format) => ({ rows, format })));

describe.each(CASES)('of a report of $rows rows in the format $format', ({ rows, format }) => {
  test('without faults every row is matched, and nothing is broken', () => holds(format, rows, 0), WITHIN_MS);

  // Some of each kind, also where they are few among many.
  const faulty = 3 + Math.ceil(rows / 2_000);
  test('with faults of each kind all are found, and none besides', () => holds(format, rows, faulty), WITHIN_MS);
});

interface Reconciled {
  readonly planted: { readonly count: number; readonly matched: number; readonly expected: readonly string[] };
  readonly merchant: Merchant;
  readonly report: Json;
  readonly seconds: string;
}

async function holds(format: Format | 'camt053', rows: number, faulty: number): Promise<void> {
  const merchant = await api.merchant('EUR', 'USD');
  const reconciled = format === 'camt053' ? ofBank : ofProcessor(format);
  const { planted, report, seconds } = await reconciled(merchant, rows, faulty);
  const found = await breaksOf(merchant.id);
  const wanted = new Set(planted.expected);
  const right = found.filter((one) => wanted.has(one)).length;
  const told = found.length === 0 ? 'no breaks' : `${found.length} breaks of ${kindsOf(found)} kinds`;
  const [precision, recall] = [right / found.length, right / planted.expected.length].map((share) =>
    Number.isNaN(share) ? 1 : share,
  );
  console.log(`${format}: ${report.rows} rows in ${seconds} s, ${told}: precision ${precision}, recall ${recall}`);
  expect(found).toEqual(planted.expected);
  expect([precision, recall]).toEqual([1, 1]);
  expect(report).toMatchObject({ rows: planted.count, rows_bad: 0, matched: planted.matched, expected: 0 });
}

const kindsOf = (found: readonly string[]) => new Set(found.map((one) => one.split(' ')[0])).size;

const ofProcessor =
  (format: Format) =>
  async (merchant: Merchant, rows: number, faulty: number): Promise<Reconciled> => {
    const planted = plant(format, { payments: rows / 2, faulty, atMs: AT_MS });
    if (rows <= TOLD_ROWS) await tellPlanted(merchant, planted);
    else await fillPlanted(owner, merchant.id, planted);
    return {
      planted,
      merchant,
      ...(await reconcile(merchant, format, linesOf(format, planted.rows(), planted.batch))),
    };
  };

/** A processor tells of its batches before they arrive. */
async function ofBank(merchant: Merchant, rows: number, faulty: number): Promise<Reconciled> {
  const planted = plantBank({ units: Math.round(rows / 1.1), faulty, atMs: AT_MS });
  await fillPayouts(owner, merchant.id, planted);
  await reconcile(merchant, 'generic', linesOf('generic', planted.batches(), ''));
  return { planted, merchant, ...(await reconcile(merchant, 'camt053', statementLines(planted))) };
}

async function reconcile({ id: merchantId }: Merchant, source: string, lines: Iterable<string>) {
  const from = performance.now();
  const type = source === 'camt053' ? 'application/xml' : 'text/csv';
  const sending = new Upload(api, { merchantId, type, query: `source=${source}&${PERIOD}` });
  let some = '';
  for (const line of lines) {
    some += line;
    if (some.length < CHARACTERS_AT_ONCE) continue;
    await sending.send(some);
    some = '';
  }
  const { status, text, body } = await sending.end(some);
  expect(status, text).toBe(202);
  const look = async () => {
    const { body: now } = await api.actingFor(merchantId).get(`/v1/reconciliations/${body.id}`);
    if (now.status === 'failed') throw new Error(now.failure);
    return now.status === 'completed' && now;
  };
  const report: Json = await until('it is completed', look, WITHIN_MS);
  return { report, seconds: ((performance.now() - from) / 1_000).toFixed(1) };
}

async function breaksOf(merchantId: string): Promise<string[]> {
  const text = `SELECT kind || ' ' || coalesce(reference, '') AS found FROM breaks WHERE merchant_id = $1`;
  return (await owner.query(text, [merchantId])).rows.map(({ found }) => found).sort();
}
