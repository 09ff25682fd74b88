import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { Charged } from '#limits/charge.js';
import { Limits } from '#limits/limits.js';
import { PRICES } from '#limits/prices.js';
import { EXPORT_COLUMNS } from '#reconciliation/reports/report-export.js';
import { type Json, TestApi, until } from './support/api.js';
import { BreakShop } from './support/breaks.js';
import { Bystander } from './support/bystander.js';
import { Contract } from './support/contract.js';

const ROWS = 2_500;

let api: TestApi;
let bystander: Bystander;
let shop: BreakShop;
let open: string;
let missing: string;

beforeAll(async () => {
  api = await TestApi.start();
  await Contract.hold(api);
  bystander = await Bystander.open(api.on);
  shop = await BreakShop.open(api, bystander.client);
  await bystander.client.query(
    `INSERT INTO report_rows (merchant_id, source, identity, reconciliation_id, line, type, reference, gross, fee, net, currency, occurred_at,
                              match_reconciliation_id, match_line, rule)
     SELECT $1, 'generic', gen_random_uuid(), $2, n + 2000000000, 'payment', CASE n WHEN 1 THEN '=cmd|x' ELSE 'psp-' || n || repeat('é', 40) END, n, 1, n - 1, 'EUR',
            '2026-11-20T10:00:00Z', $2, n + 2000000000, 'exact' FROM generate_series(1, ${ROWS}) n`,
    [shop.merchant.id, shop.reportId],
  );
  open = await shop.found();
  missing = await shop.found({ kind: 'missing_in_report', row: false, item: 'payment/1/payment/c' });
  const checker = await shop.operator();
  await shop.act(shop.environment, missing, 'propose', { action: 'write_off', reason: 'Too small, "really"' });
  await shop.act(checker, missing, 'approve');
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(async () => {
  await bystander.close();
  await api.stop();
});

const path = (id = shop.reportId): string => `/v1/reconciliations/${id}/report`;

test('tells what became of every row, and of what no row stands for', async () => {
  const { status, body } = await shop.environment.client.get(path());
  expect([status, body.reconciliation_id, body.rows.length]).toEqual([200, shop.reportId, ROWS + 2]);
  expect(Object.keys(body.rows[0])).toEqual([...EXPORT_COLUMNS]);
  expect(body.rows[0]).toMatchObject({
    outcome: 'missing_in_ledger',
    break_id: open,
    break_status: 'open',
    gross: '1000',
  });
  expect(body.rows[1]).toMatchObject({
    line: '2000000001',
    outcome: 'matched',
    rule: 'exact',
    net: '0',
    break_id: null,
  });
  expect(body.rows.at(-1)).toMatchObject({
    outcome: 'missing_in_report',
    break_id: missing,
    break_status: 'written_off',
    resolved_by: 'environment',
  });
  expect(new Set(body.rows.map(({ line, break_id }: Json) => `${line} ${break_id}`)).size).toBe(ROWS + 2);
});

test('is charged by its rows and its bytes, which are more than its characters, as pages are', async () => {
  const charged: Charged[] = [];
  const { text } = await shop.environment.client.get(path());
  api.app.get(Limits).onCharged((one) => charged.push(one));
  await shop.environment.client.get(path());
  await until(() => charged.length === 1);
  const { base, row, kib } = PRICES.list;
  const units = (base + row * (ROWS + 2) + (kib * Buffer.byteLength(text)) / 1_024) / 1_000;
  expect(charged).toMatchObject([{ byOperator: true, price: 'list', actual: Math.round(units) }]);
});

test('is the same as CSV, in which nothing is a formula', async () => {
  const asked = await shop.environment.client.get(path(), { headers: { accept: 'text/csv' } });
  const named = await shop.environment.client.get(`${path()}?format=csv`);
  expect(asked.headers.get('content-type')).toBe('text/csv; charset=utf-8');
  expect(named.text).toBe(asked.text);
  const lines = asked.text.split('\r\n');
  expect([lines.length, lines[0]]).toEqual([ROWS + 4, EXPORT_COLUMNS.join(',')]);
  expect(lines[2]).toContain(`,'=cmd|x,`);
  expect(lines.at(-2)).toContain('"Too small, ""really"""');
  expect(lines.at(-2)).toContain(',-250,');
});

test('of a report that is not there, or as what nobody writes, is refused', async () => {
  expect((await shop.environment.client.get(path('1'))).body.code).toBe('not_found');
  expect((await shop.environment.client.get(`${path()}?format=xml`)).body.code).toBe('validation_failed');
  expect((await shop.merchant.client.get(path())).body.code).toBe('forbidden');
});
