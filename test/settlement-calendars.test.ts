import { afterAll, beforeAll, expect, test } from 'vitest';
import { businessDayAt } from '#kernel/business-day.js';
import { Deadline } from '#platform/deadline.js';
import { calendarOf } from '#settlement/calendar.js';
import { beginCalendar, completeCalendars, lastDaysOver, lockCalendar } from '#settlement/due-days.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { type Opened, TestSettlement } from './support/settlement.js';

const HOUR_MS = 3_600_000;

let on: TestDatabase;
let settlement: TestSettlement;

beforeAll(async () => {
  on = await freshDatabase();
  settlement = await TestSettlement.open(on);
});
afterAll(async () => {
  await settlement.close();
  await on.drop();
});

const byOwner = <Row extends Record<string, unknown>>(text: string, ...values: unknown[]): Promise<Row[]> =>
  asAdmin(on.ownerUrl, async (owner) => (await owner.query<Row>(text, values)).rows);

async function dueAt(merchantId: bigint): Promise<number | undefined> {
  const text = `SELECT due_at, subject_id FROM due_rows WHERE kind = 'settlement' AND merchant_id = $1`;
  const [row, ...more] = await byOwner<{ due_at: Date; subject_id: string }>(text, String(merchantId));
  expect(more).toEqual([]);
  if (row) expect(row.subject_id).toBe(String(merchantId));
  return row?.due_at.getTime();
}

const begin = (merchantId: bigint): Promise<void> =>
  settlement.ledger.database.transaction({ merchantIds: [merchantId] }, Deadline.after(20_000), async (client) => {
    await lockCalendar(client, merchantId);
    await beginCalendar(client, merchantId);
  });

const calendarIn = (timeZone: string, cutoff: string) => calendarOf({ timeZone, cutoff, later: [] });

const ZONES: Opened[] = [
  { timeZone: 'UTC', cutoff: '00:00' },
  { timeZone: 'Europe/Berlin', cutoff: '22:00' },
  { timeZone: 'America/New_York', cutoff: '02:00' },
  { timeZone: 'Asia/Kathmandu', cutoff: '00:00' },
  { timeZone: 'Pacific/Kiritimati', cutoff: '22:00' },
  { timeZone: 'Pacific/Pago_Pago', cutoff: '02:00' },
];

test.each(ZONES)(
  'a merchant in $timeZone is due at $cutoff, and after its day at the end of the next',
  async (opened) => {
    const createdAtMs = Date.now() - 72 * HOUR_MS;
    const merchantId = await settlement.createMerchant({ ...opened, createdAtMs });
    await begin(merchantId);
    const calendar = calendarIn(opened.timeZone ?? '', opened.cutoff ?? '');
    const first = businessDayAt(calendar, createdAtMs);
    expect(await dueAt(merchantId)).toBe(first.endMs);
    await settlement.settle([merchantId], first.day);
    expect(await dueAt(merchantId)).toBe(businessDayAt(calendar, first.endMs).endMs);
  },
);

test('the last day that is over is the one before the present one, wherever the merchant is', async () => {
  const merchantIds = await Promise.all(ZONES.map((opened) => settlement.createMerchant(opened)));
  const nowMs = Date.now();
  const last = await lastDaysOver(settlement.ledger.database, merchantIds, nowMs, Deadline.after(20_000));
  ZONES.forEach(({ timeZone, cutoff }, index) => {
    const calendar = calendarIn(timeZone ?? '', cutoff ?? '');
    const { startMs } = businessDayAt(calendar, nowMs);
    expect(last.get(merchantIds[index] as bigint)).toBe(businessDayAt(calendar, startMs - 1).day);
  });
});

test('a day that is due is completed where it is missing, or of a zone that was left', async () => {
  const merchantId = await settlement.createMerchant();
  const other = await settlement.createMerchant({ timeZone: 'Asia/Tokyo' });
  await begin(other);
  const right = await dueAt(other);
  await byOwner(`UPDATE due_rows SET due_at = due_at - interval '1 hour' WHERE merchant_id = $1`, String(other));
  expect(await completeCalendars(settlement.ledger.database)).toBeGreaterThanOrEqual(2);
  expect(await dueAt(merchantId)).toBe(businessDayAt(calendarIn('UTC', '00:00'), Date.now()).endMs);
  expect(await dueAt(other)).toBe(right);
  expect(await completeCalendars(settlement.ledger.database)).toBe(0);
});

test('a merchant whose zone nobody knows has no day that is due, and is settled by a refusal', async () => {
  const merchantId = await settlement.createMerchant({ timeZone: 'Mars/Olympus' });
  await begin(merchantId);
  expect(await dueAt(merchantId)).toBeUndefined();
  expect(await settlement.settle([merchantId], '2026-01-01')).toMatchObject([
    { merchantId, outcome: 'failed', problem: { code: 'invalid_transition' } },
  ]);
});
