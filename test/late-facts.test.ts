import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { RECONCILIATION_DUE } from '#reconciliation/closing/close-report.js';
import { LATE_FACTS } from '#reconciliation/jobs/names.js';
import { type Json, type Merchant, TestApi } from './support/api.js';
import { asAdmin } from './support/database.js';
import { until } from './support/until.js';
import { GENERIC_HEAD, upload } from './support/uploads.js';
import { startWorker } from './support/worker.js';

/** What becomes known of payments after a report has named them: no other report is needed for their breaks to end. */

const AT = '2026-11-20T12:00:00Z';
const FAST = { RECONCILIATION_INTERVAL_MS: '200', RECONCILIATION_LATE_MS: '100' };

let api: TestApi;
let shop: Merchant;
let stopWorker: () => Promise<void>;

beforeAll(async () => {
  api = await TestApi.start({ environment: { REDIS_QUEUE_URL: inject('redisQueueUrl') } });
  stopWorker = await startWorker(api.on, FAST);
  shop = await api.merchant();
});
afterAll(async () => {
  await stopWorker();
  expect(api.errors).toEqual([]);
  await api.stop();
});

async function reported(...rows: string[]): Promise<string> {
  const { body } = await upload(api, { merchantId: shop.id }, `${GENERIC_HEAD}\n${rows.join('\n')}\n`);
  await until('it is matched', async () => {
    return (await api.actingFor(shop.id).get(`/v1/reconciliations/${body.id}`)).body.status === 'completed';
  });
  return body.id;
}

async function tell(ref: string, ...facts: object[]): Promise<void> {
  const events = facts.map((fact) => ({
    ...{ provider: 'acme', payment_ref: ref, currency: 'EUR', event_id: randomUUID(), occurred_at: AT },
    ...fact,
  }));
  const { status, text } = await shop.client.post('/v1/provider_events/batch', { body: { events } });
  if (status !== 200 && status !== 202) throw new Error(text);
}

const breaksOf = async (report: string): Promise<Json[]> =>
  (await api.actingFor(shop.id).get(`/v1/reconciliations/${report}/breaks`)).body.data;

const captured = (amount: string, object?: string) => ({
  type: 'captured',
  amount,
  ...(object && { object_ref: object }),
});

test('a row that was nowhere in the ledger is matched soon after its payment has become known', async () => {
  const report = await reported(`late,c,payment,1200,0,1200,EUR,${AT},`, `never,n,payment,5,0,5,EUR,${AT},`);
  expect((await breaksOf(report)).map(({ status }) => status)).toEqual(['open', 'open']);
  await tell('late', { type: 'authorised', amount: '1200' }, captured('1200', 'c'));
  const ended = await until('its break has ended', async () => {
    return (await breaksOf(report)).find(({ status }) => status === 'auto_resolved');
  });
  expect(ended).toMatchObject({ reference: 'late', resolution: { items: [expect.stringMatching(/payment\/c$/)] } });
  const [open] = (await breaksOf(report)).filter(({ status }) => status === 'open');
  expect(open).toMatchObject({ reference: 'never' });
});

test('so is one of whose payment a second capture becomes known, by whatever name its rows have', async () => {
  await tell('twice', { type: 'authorised', amount: '1000' }, captured('500', 'a'));
  const report = await reported(`twice,,payment,500,0,500,EUR,${AT},`, `,b,payment,500,0,500,EUR,${AT},`);
  expect((await breaksOf(report)).map(({ kind }) => kind)).toEqual(['missing_in_ledger']);
  await tell('twice', captured('500', 'b'));
  await until('its break has ended', async () => {
    return (await breaksOf(report)).every(({ status }) => status === 'auto_resolved');
  });
});

test.each([RECONCILIATION_DUE, LATE_FACTS])('%s of a report that has failed meanwhile is done with', async (kind) => {
  const report = await reported(`failed-${kind},,payment,5,0,5,EUR,${AT},`);
  await asAdmin(api.on.ownerUrl, async (admin) => {
    await admin.query(
      `UPDATE reconciliations SET status = 'failed', completed_at = NULL, failure = 'a test' WHERE id = $1`,
      [report],
    );
    const row = [kind, shop.id, report];
    await admin.query(
      `INSERT INTO due_rows (kind, merchant_id, subject_id, due_at, try_at)
       SELECT $1, $2, $3, now_ms, now_ms FROM date_trunc('milliseconds', now()) now_ms
       ON CONFLICT (merchant_id, kind, subject_id) DO UPDATE SET due_at = excluded.due_at, try_at = excluded.try_at`,
      row,
    );
    await until('its row is gone', async () => {
      const left = 'SELECT FROM due_rows WHERE kind = $1 AND merchant_id = $2 AND subject_id = $3';
      return (await admin.query(left, row)).rowCount === 0;
    });
  });
});
