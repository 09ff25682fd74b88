import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import { Deadline } from '#platform/deadline.js';
import { Database } from '#platform/postgres.js';
import { Queues } from '#platform/queues.js';
import { RECONCILIATION_QUEUE } from '#reconciliation/jobs/names.js';
import { ReportMatcher } from '#reconciliation/jobs/report-matcher.js';
import { type Json, type Merchant, TestApi } from './support/api.js';
import { asAdmin } from './support/database.js';
import { keepSpans } from './support/kept-spans.js';
import { until } from './support/until.js';
import { GENERIC_HEAD, genericReport, Upload, upload } from './support/uploads.js';
import { startWorker } from './support/worker.js';

const FAST = { RECONCILIATION_INTERVAL_MS: '200', RECONCILIATION_SILENCE_MS: '1000' };
const MANY = genericReport(3_000);

let api: TestApi;
let queues: Queues;
let shop: Merchant;

beforeAll(async () => {
  api = await TestApi.start({ environment: { REDIS_QUEUE_URL: inject('redisQueueUrl') } });
  queues = new Queues(inject('redisQueueUrl'), api.on.runtimeUrl);
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(async () => {
  await queues.queue(RECONCILIATION_QUEUE).obliterate({ force: true });
  await queues.close();
  await api.stop();
});

const query = (text: string, values: unknown[] = [shop.id]): Promise<Json[]> =>
  asAdmin(api.on.ownerUrl, async (owner) => (await owner.query(text, values)).rows);
const staged = async () => (await query('SELECT line FROM report_staging WHERE merchant_id = $1')).length;
const reportOf = async (id: string) => (await api.actingFor(shop.id).get(`/v1/reconciliations/${id}`)).body;
const completed = (id: string) =>
  until('it is completed', async () => {
    const report = await reportOf(id);
    return report.status === 'completed' && report;
  });

async function withWorker(work: () => Promise<void>, environment: Record<string, string> = {}): Promise<void> {
  const stop = await startWorker(api.on, { ...FAST, ...environment });
  try {
    await work();
  } finally {
    await stop();
  }
}

/** From now until `stop`; without what a busy machine shows besides: who waits for a connection has a span. */
function tracing() {
  const { exporter, telemetry } = keepSpans();
  const spansOf = (traceId: string) =>
    exporter
      .getFinishedSpans()
      .filter((span) => span.spanContext().traceId === traceId && span.name !== 'wait for a connection');
  return { spansOf, stop: () => telemetry.shutdown() };
}

describe('a report that was received', () => {
  test('is matched by a worker: of what the ledger lacks each row is a break, and the log tells of it', async () => {
    shop = await api.merchant();
    await withWorker(async () => {
      const { body } = await upload(api, { merchantId: shop.id }, genericReport(25));
      const report = await completed(body.id);
      expect(report).toMatchObject({ rows: 25, matched: 0, breaks: { open: 25, by_kind: { missing_in_ledger: 25 } } });
      expect(report.totals).toMatchObject([{ currency: 'EUR', rows: 25, gross: '25000', net: '25000', matched: '0' }]);
      expect(await staged()).toBe(0);
      const told = (await api.logOf(shop)).filter(({ type }: Json) => type === 'reconciliation.completed');
      expect(told.map(({ data }: Json) => data)).toMatchObject([
        { reconciliation_id: body.id, source: 'generic', rows: 25, breaks_open: 25 },
      ]);
    });
  });

  test('has one trace, from its upload through matching and closing to what the log tells of it', async () => {
    const { spansOf, stop } = tracing();
    shop = await api.merchant();
    const traceId = randomUUID().replaceAll('-', '');
    const headers = { traceparent: `00-${traceId}-${'b'.repeat(16)}-01` };
    await withWorker(async () => {
      const { body } = await upload(api, { merchantId: shop.id, headers }, genericReport(5));
      await completed(body.id);
    });
    const spans = spansOf(traceId);
    const whole = spans.filter(({ name }) => name === 'match report').map((span) => span.spanContext().spanId);
    const below = (ids: readonly string[]) =>
      spans.filter((span) => ids.includes(span.parentSpanContext?.spanId ?? ''));
    const steps = below(whole).filter(({ attributes }) => attributes['db.system.name'] === undefined);
    expect(new Set(steps.map(({ name }) => name))).toEqual(new Set(['match chunk', 'close report']));
    for (const step of steps) {
      const [statement] = below([step.spanContext().spanId]);
      expect(statement?.attributes['db.system.name']).toBe('postgresql');
    }
    const events = await query(
      `SELECT type, trace_context FROM events WHERE merchant_id = $1 AND (type LIKE 'break.%' OR type LIKE 'reconciliation.%')`,
    );
    expect(events.map(({ type }) => type).sort()).toEqual([
      ...Array(5).fill('break.opened'),
      'reconciliation.completed',
    ]);
    expect(new Set(events.map(({ trace_context }) => trace_context.split('-')[1]))).toEqual(new Set([traceId]));
    await stop();
  });

  test('is looked at again in the trace of its upload, whosever trace tells what has become known', async () => {
    const { spansOf, stop } = tracing();
    shop = await api.merchant();
    const traceId = randomUUID().replaceAll('-', '');
    const headers = { traceparent: `00-${traceId}-${'b'.repeat(16)}-01` };
    const looks = () => spansOf(traceId).filter(({ name }) => name === 'look at late facts');
    await withWorker(
      async () => {
        const { body } = await upload(api, { merchantId: shop.id, headers }, genericReport(1));
        await completed(body.id);
        const fact = { provider: 'acme', payment_ref: 'pay-0', currency: 'EUR', event_id: randomUUID() };
        const authorised = { ...fact, type: 'authorised', amount: '1000', occurred_at: new Date().toISOString() };
        expect((await shop.client.post('/v1/provider_events', { body: authorised })).body.outcome).toBe('applied');
        await until('it has been looked at', () => looks().length > 0);
        const [look] = looks();
        expect(look?.attributes).toMatchObject({
          'counterfoil.merchant_id': shop.id,
          'counterfoil.reconciliation_id': body.id,
        });
        const below = spansOf(traceId).filter((span) => span.parentSpanContext?.spanId === look?.spanContext().spanId);
        expect(below.map(({ attributes }) => attributes['db.system.name'])).toContain('postgresql');
      },
      { RECONCILIATION_LATE_MS: '100' },
    );
    await stop();
  });

  test('is matched though its job was lost, or could never be added', async () => {
    shop = await api.merchant();
    const { body } = await upload(api, { merchantId: shop.id }, genericReport(5));
    await until('its job is there', () => queues.view(RECONCILIATION_QUEUE).getJob(`match-${shop.id}`));
    await queues.queue(RECONCILIATION_QUEUE).obliterate({ force: true });
    await withWorker(async () => void (await completed(body.id)));
  });

  test('twice has each of its rows once', async () => {
    shop = await api.merchant();
    await withWorker(async () => {
      const first = await upload(api, { merchantId: shop.id }, genericReport(10));
      await completed(first.body.id);
      const { body } = await upload(api, { merchantId: shop.id }, genericReport(10));
      expect(await completed(body.id)).toMatchObject({ rows: 10, repeated: 10, breaks: { open: 0 } });
      expect(await query('SELECT id FROM breaks WHERE merchant_id = $1')).toHaveLength(10);
    });
  });

  test('has a batch that takes over what another one had left: what the bank shows is its payout', async () => {
    shop = await api.merchant();
    const fixture = (name: string) => readFileSync(join(import.meta.dirname, 'fixtures/reports', name));
    await withWorker(async () => {
      const query = 'source=adyen_settlement_detail';
      const adyen = await upload(api, { merchantId: shop.id, query }, fixture('adyen-settlement-detail.csv'));
      expect(await completed(adyen.body.id)).toMatchObject({
        matched: 4,
        breaks: { by_kind: { missing_in_ledger: 8 } },
      });
      const type = 'application/xml';
      const bank = { merchantId: shop.id, query: 'source=camt053', type };
      const { body } = await upload(api, bank, fixture('camt053-001-08.xml'));
      // The batch's credit; nobody here has asked for its payouts.
      expect(await completed(body.id)).toMatchObject({ matched: 1, breaks: { by_kind: { missing_in_ledger: 4 } } });
    });
    const [item] = await query('SELECT item FROM reconciled_items WHERE merchant_id = $1');
    expect(item).toEqual({ item: 'batch/adyen_settlement_detail/417/EUR' });
  });

  test('is completed once, whoever matches it at once, and stops between two steps', async () => {
    shop = await api.merchant();
    const { body } = await upload(api, { merchantId: shop.id }, genericReport(40));
    const database = new Database(api.on.runtimeUrl, { poolSize: 6, connectTimeoutMs: 5_000, applicationName: 'test' });
    const ids = api.app.get(SnowflakeGenerator);
    const rules = { amountTolerance: 0n, feeTolerance: 0n, dateToleranceDays: 7 };
    const matching = { database, ids, rules, chunkRows: 8, breaksAtOnce: 4 };
    const key = { merchantId: BigInt(shop.id), id: BigInt(body.id) };
    const stepDeadline = () => Deadline.after(20_000);
    try {
      let steps = 0;
      const stopping = new ReportMatcher(matching, { stepDeadline, isStopping: () => ++steps > 2 });
      expect([await stopping.match(key), stopping.rows]).toEqual(['more', 16]);
      expect(await staged()).toBe(24);
      const both = [0, 1].map(() => new ReportMatcher(matching, { stepDeadline, isStopping: () => false }));
      const outcomes = await Promise.all(both.map((one) => one.match(key)));
      expect(outcomes.toSorted()).toEqual(['completed', 'left']);
    } finally {
      await database.close();
    }
    expect(await reportOf(body.id)).toMatchObject({ status: 'completed', rows: 40, breaks: { open: 40 } });
    const told = await query(`SELECT FROM events WHERE merchant_id = $1 AND type = 'reconciliation.completed'`);
    expect(told).toHaveLength(1);
  });
});

describe('a report that cannot be matched', () => {
  const REFUSING = (merchantId: string) => `
    CREATE FUNCTION refuse_rows() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no row today'; END $$;
    CREATE TRIGGER refuse_rows BEFORE INSERT ON report_rows FOR EACH ROW WHEN (NEW.merchant_id = ${merchantId}) EXECUTE FUNCTION refuse_rows()`;
  const retry = (id: string) => api.actingFor(shop.id).post(`/v1/reconciliations/${id}/retry`, { body: {} });

  test('fails after so many tries, says why, and is matched when it is tried again', async () => {
    shop = await api.merchant();
    await query(REFUSING(shop.id), []);
    const { body } = await upload(api, { merchantId: shop.id }, genericReport(7));
    await withWorker(
      async () => {
        const { failure } = await until('it has failed', async () => {
          const report = await reportOf(body.id);
          return report.status === 'failed' && report;
        });
        expect(failure).toMatch(/^It could not be matched in 2 tries .*\/retry goes on.* no row today$/);
        expect(await staged()).toBe(7);
        expect((await query('SELECT tries FROM reconciliations WHERE merchant_id = $1'))[0].tries).toBe(2);
        await query('DROP FUNCTION refuse_rows CASCADE', []);
        const tried = await retry(body.id);
        expect([tried.status, tried.body.status, tried.body.failure]).toEqual([202, 'matching', null]);
        expect(await completed(body.id)).toMatchObject({ rows: 7, breaks: { open: 7 } });
      },
      { RECONCILIATION_TRIES: '2' },
    );
    expect((await retry(body.id)).body).toMatchObject({
      code: 'invalid_transition',
      detail: expect.stringContaining('is completed'),
    });
  });

  test('as its upload failed is not tried again', async () => {
    shop = await api.merchant();
    await query(
      `INSERT INTO reconciliations (merchant_id, id, created_at, source, sla_days, status, failure)
       VALUES ($1, $1, snowflake_time($1), 'generic', 3, 'failed', 'x')`,
    );
    const { status, body } = await retry(shop.id);
    expect([status, body.code]).toEqual([409, 'invalid_transition']);
    expect(body.detail).toContain('Send it again');
  });
});

describe('a report whose receiver', () => {
  test('has died is failed by a worker, which leaves nothing of it', async () => {
    shop = await api.merchant();
    await query(
      `INSERT INTO reconciliations (merchant_id, id, created_at, source, sla_days, status, rows, heard_at)
       VALUES ($1, $1, snowflake_time($1), 'generic', 3, 'receiving', 9, now() - interval '1 minute')`,
    );
    await query(
      `INSERT INTO report_staging (merchant_id, reconciliation_id, line, identity, type, gross, fee, net, currency, occurred_at)
       SELECT $1, $1, n, gen_random_uuid(), 'payment', 1, 0, 1, 'EUR', now() FROM generate_series(2, 70000) n`,
    );
    await query(`INSERT INTO report_bad_rows SELECT $1, $1, n, 'x', 'y' FROM generate_series(1, 10) n`);
    await withWorker(async () => {
      const { failure } = await until('it is failed', async () => {
        const report = await reportOf(shop.id);
        return report.status === 'failed' && report;
      });
      expect(failure).toContain('has died');
    });
    expect(await staged()).toBe(0);
    expect(await query('SELECT FROM report_bad_rows WHERE merchant_id = $1')).toEqual([]);
  });

  test('is alive is left alone, however slowly its client sends', async () => {
    shop = await api.merchant();
    const slow = await TestApi.start({ on: api.on, environment: { ...FAST, RECONCILIATION_STAGE_ROWS: '100' } });
    try {
      const sending = new Upload(slow, { merchantId: shop.id });
      await sending.send(MANY);
      await until('some is staged', async () => (await staged()) > 0);
      await withWorker(async () => {
        const heardAt = `SELECT extract(epoch FROM heard_at) AS at, extract(epoch FROM created_at) AS from FROM reconciliations WHERE merchant_id = $1`;
        // Twice the silence, in which nothing is sent.
        await until('it was heard of for long', async () => {
          const [row] = await query(heardAt);
          return row.at - row.from > 2;
        });
        expect((await sending.end()).status).toBe(202);
      });
    } finally {
      await slow.stop();
    }
  });

  test('slept, and was taken for dead, takes nothing more', async () => {
    shop = await api.merchant();
    const slow = await TestApi.start({ on: api.on, environment: { RECONCILIATION_STAGE_ROWS: '100' } });
    try {
      const sending = new Upload(slow, { merchantId: shop.id });
      await sending.send(MANY);
      await until('some is staged', async () => (await staged()) > 0);
      await query(`UPDATE reconciliations SET status = 'failed', failure = 'taken for dead' WHERE merchant_id = $1`);
      await query('DELETE FROM report_staging WHERE merchant_id = $1');
      // Told at once, and not only when its end has come.
      await sending.send(genericReport(3_000, 'more').slice(GENERIC_HEAD.length));
      const { status, body } = await sending.answer;
      expect([status, body.code]).toEqual([503, 'overloaded']);
      expect(await staged()).toBe(0);
      expect(await query('SELECT failure FROM reconciliations WHERE merchant_id = $1')).toEqual([
        { failure: 'taken for dead' },
      ]);
    } finally {
      await slow.stop();
    }
  });
});
