import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, type Json, TestApi } from './support/api.js';
import { Contract } from './support/contract.js';
import { until } from './support/until.js';

const RULE = { applies_to: 'payment', currency: 'EUR', percent_bps: 140, fixed: '25' };
const CONFLICT = [409, 'invalid_transition'];
const DAY_MS = 86_400_000;
/** A time of day some days from now. */
const day = (later: number): string =>
  new Date(Math.floor(Date.now() / DAY_MS) * DAY_MS + later * DAY_MS).toISOString();

let api: TestApi;
let contract: Contract;
let admin: pg.Client;
beforeAll(async () => {
  api = await TestApi.start();
  contract = await Contract.hold(api);
  admin = new pg.Client({ connectionString: api.on.ownerUrl });
  await admin.connect();
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(async () => {
  await admin.end();
  await api.stop();
});

const plan = async (more: object = {}): Promise<string> =>
  (await api.operator.post('/v1/fee_plans', { body: { name: 'Standard', rules: [RULE], ...more } })).body.id;
const addVersion = (id: string, body: object = {}): Promise<Answer> =>
  api.operator.post(`/v1/fee_plans/${id}/versions`, { body: { rules: [RULE], ...body } });
const get = async (id: string): Promise<Json> => (await api.operator.get(`/v1/fee_plans/${id}`)).body;
const put = (merchantId: string, body: object): Promise<Answer> =>
  api.operator.request('PUT', `/v1/merchants/${merchantId}/fee_plan`, { body });
const refusal = ({ status, body }: Answer): Json => [status, body.code];

/** A day of the merchant that is settled, or drafted, up to a time. */
async function settle(merchantId: string, until: string): Promise<void> {
  await admin.query(`INSERT INTO settlement_positions VALUES ($1, '2026-01-01', '2026-01-01', $2)`, [
    merchantId,
    until,
  ]);
}
async function draft(merchantId: string, until: string): Promise<void> {
  await admin.query(
    `INSERT INTO settlement_drafts (merchant_id, currency, settlement_id, account_id, business_date, starts_at, ends_at, drafted_through, looked_through, seen_through)
     VALUES ($1, 'EUR', 1, 1, '2026-01-01', '2026-01-01Z', $2, 0, 0, 0)`,
    [merchantId, until],
  );
}

/** Until the API waits for a lock that `admin` holds. */
async function someoneWaits(): Promise<void> {
  const text = `SELECT FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))`;
  await until('a statement waits for ours', async () => (await admin.query(text)).rowCount);
}

describe('a version that has not begun', () => {
  const takeBack = (id: string, version: number | string): Promise<Answer> =>
    api.operator.request('DELETE', `/v1/fee_plans/${id}/versions/${version}`);
  const versionsOf = async (id: string): Promise<Json> =>
    (await get(id)).versions.map(({ version, valid_from }: Json) => [version, valid_from]);

  test('is taken back, what counted before goes on, and another one can take its place and number', async () => {
    const id = await plan();
    await addVersion(id, { valid_from: day(50) });
    expect((await takeBack(id, 2)).status).toBe(204);
    expect(await versionsOf(id)).toEqual([[1, null]]);
    expect((await api.operator.get('/v1/fee_plans?limit=1')).body.data[0]).toMatchObject({ id, version: 1 });
    expect((await takeBack(id, 2)).status).toBe(404);
    expect((await addVersion(id, { valid_from: day(5) })).body.version).toBe(2);
  });

  test('is the newest one, and not the only one', async () => {
    const id = await plan({ valid_from: day(4) });
    expect(refusal(await takeBack(id, 1))).toEqual(CONFLICT);
    await addVersion(id, { valid_from: day(5) });
    await addVersion(id, { valid_from: day(6) });
    const refused = await takeBack(id, 2);
    expect(refusal(refused)).toEqual(CONFLICT);
    expect(refused.body.detail).toContain('Version 3');
    for (const version of [3, 2]) expect((await takeBack(id, version)).status).toBe(204);
    expect(await versionsOf(id)).toEqual([[1, day(4)]]);
  });

  test('is not one that counts, since ever or since a moment', async () => {
    const id = await plan();
    expect(refusal(await takeBack(id, 1))).toEqual(CONFLICT);
    await addVersion(id);
    expect(refusal(await takeBack(id, 2))).toEqual(CONFLICT);
    expect((await get(id)).versions).toHaveLength(2);
  });

  test.each([
    ['settled', settle],
    ['drafted', draft],
  ])('stays where a day in it is %s, by a clock before ours', async (_, isOver) => {
    const id = await plan();
    const merchant = await api.merchant();
    await put(merchant.id, { fee_plan_id: id });
    await addVersion(id, { valid_from: day(2) });
    await isOver(merchant.id, day(3));
    const refused = await takeBack(id, 2);
    expect(refusal(refused)).toEqual(CONFLICT);
    expect(refused.body.detail).toContain(day(3));
    expect((await get(id)).versions).toHaveLength(2);
  });

  test('waits for who begins to settle by the plan, and then sees it', async () => {
    const id = await plan();
    const merchant = await api.merchant();
    await put(merchant.id, { fee_plan_id: id });
    await addVersion(id, { valid_from: day(2) });
    await admin.query('BEGIN');
    await admin.query('SELECT FROM fee_plans WHERE id = $1 FOR SHARE', [id]);
    await draft(merchant.id, day(3));
    const takingBack = takeBack(id, 2);
    await someoneWaits();
    await admin.query('COMMIT');
    expect(refusal(await takingBack)).toEqual(CONFLICT);
  });

  test('is the platform’s to take back, of plans and versions that are there', async () => {
    const id = await plan();
    await addVersion(id, { valid_from: day(5) });
    const { client } = await api.merchant();
    expect((await client.request('DELETE', `/v1/fee_plans/${id}/versions/2`)).status).toBe(403);
    for (const version of [3, 0, -1, '2.0', '0x2', 'last', '99999999999999999999']) {
      expect((await takeBack(id, version)).status, String(version)).toBe(404);
    }
    expect((await takeBack('249956523482091520', 1)).status).toBe(404);
    expect((await get(id)).versions).toHaveLength(2);
  });
});

test('its route has been answered with success above', () => {
  const [route, ...others] = contract.routes.filter((one) => one.includes('fee_plan') && /^delete/i.test(one));
  expect(others).toEqual([]);
  expect([...(contract.seen.get(route as string) ?? [])].sort()).toEqual([204, 403, 404, 409]);
});
