import { afterAll, afterEach, beforeAll, expect, inject, test } from 'vitest';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import { Deadline } from '#platform/deadline.js';
import { createLogger } from '#platform/logging.js';
import { Database } from '#platform/postgres.js';
import { Queues } from '#platform/queues.js';
import { RECONCILIATION_QUEUE } from '#reconciliation/jobs/names.js';
import { ReportMatcher } from '#reconciliation/jobs/report-matcher.js';
import { ReportQueue } from '#reconciliation/jobs/report-queue.js';
import { ReportWorker } from '#reconciliation/jobs/report-worker.js';
import { lookAfterReports } from '#reconciliation/jobs/reports-left.js';
import { TestApi } from './support/api.js';
import { asAdmin } from './support/database.js';
import { until } from './support/until.js';
import { genericReport, upload } from './support/uploads.js';

let api: TestApi;
let queues: Queues;
let database: Database;

beforeAll(async () => {
  api = await TestApi.start({ environment: { REDIS_QUEUE_URL: inject('redisQueueUrl') } });
  queues = new Queues(inject('redisQueueUrl'), api.on.runtimeUrl);
  database = new Database(api.on.runtimeUrl, { poolSize: 6, connectTimeoutMs: 5_000, applicationName: 'test' });
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(async () => {
  await queues.queue(RECONCILIATION_QUEUE).obliterate({ force: true });
  await queues.close();
  await database.close();
  await api.stop();
});

const matcher = (turnChunks: number): ReportMatcher => {
  const rules = { amountTolerance: 0n, feeTolerance: 0n, dateToleranceDays: 7 };
  const ids = api.app.get(SnowflakeGenerator);
  const stepDeadline = () => Deadline.after(20_000);
  return new ReportMatcher(
    { database, ids, rules, chunkRows: 10, breaksAtOnce: 10 },
    { stepDeadline, isStopping: () => false, turnChunks },
  );
};

/** One that works on a single report at a time, and nobody looks for what is left. */
async function withWorker(of: ReportMatcher, work: (worker: ReportWorker) => Promise<void>): Promise<void> {
  const own = new Queues(inject('redisQueueUrl'), api.on.runtimeUrl);
  const logger = createLogger({ level: 'silent', service: 'test' });
  const options = { concurrency: 1, jobLockMs: 30_000, tries: 3 };
  const worker = new ReportWorker(of, api.app.get(ReportQueue), logger, options);
  worker.start(own);
  try {
    await work(worker);
  } finally {
    await own.close(20_000);
  }
}

const merchant = async (): Promise<string> => (await api.merchant()).id;

async function uploaded(merchantId: string, rows: number, prefix: string): Promise<string> {
  const { status, body } = await upload(api, { merchantId }, genericReport(rows, prefix));
  expect(status).toBe(202);
  return body.id;
}

/** Ids of reports, in the order of their completion. */
const completedOf = (...merchantIds: string[]): Promise<string[]> =>
  asAdmin(api.on.ownerUrl, async (owner) => {
    const { rows } = await owner.query<{ id: string }>(
      `SELECT id::text FROM reconciliations WHERE merchant_id = ANY ($1) AND status = 'completed' ORDER BY completed_at`,
      [merchantIds],
    );
    return rows.map(({ id }) => id);
  });
const allCompleted = (count: number, ...merchantIds: string[]) =>
  until(`${count} are completed`, async () => {
    const ids = await completedOf(...merchantIds);
    return ids.length === count && ids;
  });

test('a merchant’s report is matched before the second one of whoever came first with many', async () => {
  const [many, one] = [await merchant(), await merchant()];
  const own: string[] = [];
  for (let sent = 0; sent < 5; sent += 1) own.push(await uploaded(many, 5, `r${sent}`));
  const neighbours = await uploaded(one, 5, 'n');
  await withWorker(matcher(4), async () => {
    const [first, ...rest] = own;
    expect(await allCompleted(6, many, one)).toEqual([first, neighbours, ...rest]);
  });
});

test('a small report is matched before a large one that is in work, turn by turn', async () => {
  const [large, small] = [await merchant(), await merchant()];
  const huge = await uploaded(large, 100, 'l');
  const neighbours = await uploaded(small, 5, 's');
  await withWorker(matcher(2), async ({ turns }) => {
    expect(await allCompleted(2, large, small)).toEqual([neighbours, huge]);
    await until('both jobs have ended', () => turns.completed === 2);
    // 100 rows in chunks of 10, and the one that finds nothing more.
    expect(turns).toMatchObject({ more: 5, left: 0, failed: 0 });
  });
});

test('a report that was received as its merchant’s last turn ended is not left until somebody looks', async () => {
  const merchantId = await merchant();
  await uploaded(merchantId, 5, 'a');
  const racing = matcher(4);
  const next = racing.next.bind(racing);
  let received: string | undefined;
  racing.next = async (of) => {
    const found = await next(of);
    // Nothing more is there, and the job is not gone yet.
    if (!found) received ??= await uploaded(merchantId, 5, 'b');
    return found;
  };
  await withWorker(racing, async () => void (await allCompleted(2, merchantId)));
  expect(received).toBeDefined();
});

test('whoever looks after reports makes sure of a job for each merchant that has any, in however many pages', async () => {
  const queue = queues.queue(RECONCILIATION_QUEUE);
  const merchants = [await merchant(), await merchant(), await merchant(), await merchant()];
  for (const merchantId of merchants) await uploaded(merchantId, 5, 'lost');
  // As a queue that has lost its jobs.
  await queue.obliterate({ force: true });
  const parts = {
    database,
    queue: api.app.get(ReportQueue),
    silenceMs: 60_000,
    stepDeadline: () => Deadline.after(20_000),
  };
  for (const lookedAt of [1, 2, 3, 1_000]) {
    await queue.obliterate({ force: true });
    await lookAfterReports({ ...parts, lookedAt });
    const jobs = (await queue.getWaiting()).map(({ id }) => id);
    expect(jobs.sort()).toEqual(merchants.map((merchantId) => `match-${merchantId}`).sort());
  }
});
