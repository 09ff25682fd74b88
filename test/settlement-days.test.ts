import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { businessDay, businessDayAt } from '#kernel/business-day.js';
import { merchantDay } from '#ledger/reading/merchant-day.js';
import { calendarOf } from '#settlement/calendar.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { TestSettlement } from './support/settlement.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

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

const periodsOf = async (merchantId: bigint) => {
  const text = `SELECT business_date::text AS day, starts_at, ends_at, other, adjustments FROM settlements WHERE merchant_id = $1 ORDER BY 1`;
  const rows = await byOwner<{ day: string; starts_at: Date; ends_at: Date; other: string; adjustments: string }>(
    text,
    String(merchantId),
  );
  return rows.map(({ starts_at, ends_at, ...row }) => ({
    ...row,
    startMs: starts_at.getTime(),
    endMs: ends_at.getTime(),
  }));
};

describe('a day is from one cut-off to the next where the merchant is:', () => {
  test.each([
    ['UTC', '00:00', '2025-10-25', 24],
    ['Asia/Kathmandu', '22:00', '2025-10-25', 24],
    ['Europe/Berlin', '02:00', '2025-10-25', 24],
    ['Europe/Berlin', '00:00', '2025-10-26', 25],
    ['Europe/Berlin', '22:00', '2026-03-29', 23],
    ['America/New_York', '22:00', '2025-11-02', 25],
    ['Australia/Lord_Howe', '00:00', '2026-04-05', 24.5],
    ['Pacific/Kiritimati', '02:00', '2025-10-25', 24],
  ])('%s at %s, %s, of %d hours', async (timeZone, cutoff, date, hours) => {
    const { startMs, endMs } = businessDay(calendarOf({ timeZone, cutoff, later: [] }), date);
    expect(endMs - startMs).toBe(hours * HOUR_MS);
    const merchantId = await settlement.createMerchant({ timeZone, cutoff, createdAtMs: startMs - DAY_MS });
    const atMs = [startMs - 1, startMs, endMs - 1, endMs];
    await settlement.happen(
      merchantId,
      ...atMs.map((at, n) => ({ kind: 'other' as const, amount: 10n ** BigInt(n), atMs: at })),
    );
    const before = businessDayAt(calendarOf({ timeZone, cutoff, later: [] }), startMs - 1).day;
    await settlement.settle([merchantId], before);
    await settlement.settle([merchantId], date);
    expect(await periodsOf(merchantId)).toMatchObject([
      { day: before, endMs: startMs, other: '1', adjustments: '0' },
      { day: date, startMs, endMs, other: '110', adjustments: '0' },
    ]);
  });
});

describe('a merchant that moves', () => {
  test.each([
    ['eastwards', 'UTC', 'Asia/Tokyo', '2026-11-09T15:00:00Z'],
    ['westwards', 'Asia/Tokyo', 'America/New_York', '2026-11-10T05:00:00Z'],
  ])('%s has every hour in one day, which is that of PostgreSQL', async (_where, from, to, at) => {
    const createdAtMs = Date.parse('2026-11-07T00:00:00Z');
    const merchantId = await settlement.createMerchant({ timeZone: from, createdAtMs });
    await byOwner(
      `INSERT INTO merchant_time_zones (merchant_id, from_at, from_day, time_zone) VALUES ($1, $2, '2026-11-10', $3)`,
      String(merchantId),
      at,
      to,
    );
    const hours = Array.from({ length: 24 * 6 }, (_, hour) => createdAtMs + hour * HOUR_MS);
    await settlement.happen(merchantId, ...hours.map((atMs) => ({ kind: 'other' as const, amount: 1n, atMs })));
    await settlement.settle([merchantId], '2026-11-14');
    const periods = await periodsOf(merchantId);
    expect(periods.slice(1).map(({ startMs }) => startMs)).toEqual(periods.slice(0, -1).map(({ endMs }) => endMs));
    expect(periods.reduce((sum, { other }) => sum + Number(other), 0)).toBe(hours.length);
    expect(periods.every(({ adjustments }) => adjustments === '0')).toBe(true);
    const wrong = `SELECT l.effective_at FROM settlement_lines l JOIN merchants m ON m.id = l.merchant_id
                    WHERE m.id = $1 AND l.business_date <> ${merchantDay('m', 'l.effective_at')}`;
    expect(await byOwner(wrong, String(merchantId))).toEqual([]);
  });

  test.each([
    ['is on its new clock, whatever the old one would have shown next', 'Europe/Berlin', 'UTC', '01:55', '01:55'],
    ['is not on its new clock before it moved', 'UTC', 'Europe/Berlin', '01:47', '00:50'],
  ])('minutes before the clocks change %s', (_what, timeZone, to, cutoff, end) => {
    const later = [{ fromMs: Date.parse('2026-03-29T00:50:00Z'), timeZone: to }];
    const { endMs } = businessDay(calendarOf({ timeZone, cutoff, later }), '2026-03-28');
    expect(endMs).toBe(Date.parse(`2026-03-29T${end}:00Z`));
  });

  test('is in a zone for all days when nobody knew the one before', () => {
    const later = [{ fromMs: -Infinity, timeZone: 'Asia/Tokyo' }];
    const calendar = calendarOf({ timeZone: 'Mars/Olympus', cutoff: '00:00', later });
    expect(businessDay(calendar, '2026-01-02').startMs).toBe(Date.parse('2026-01-01T15:00:00Z'));
  });
});

test('a day that a zone skips has what is told late, and nothing of its own', async () => {
  const merchantId = await settlement.createMerchant({ timeZone: 'Pacific/Apia' });
  const [before, after] = ['2011-12-29T20:00:00Z', '2011-12-30T12:00:00Z'].map((at) => Date.parse(at)) as [
    number,
    number,
  ];
  await settlement.happen(merchantId, { kind: 'other', amount: 1n, atMs: before });
  await settlement.settle([merchantId], '2011-12-29');
  await settlement.happen(
    merchantId,
    { kind: 'other', amount: 10n, atMs: before },
    { kind: 'other', amount: 100n, atMs: after },
  );
  expect(await settlement.settle([merchantId], '2011-12-30')).toEqual([{ merchantId, outcome: 'settled' }]);
  await settlement.settle([merchantId], '2011-12-31');
  const periods = await periodsOf(merchantId);
  expect(
    periods.map(({ day, startMs, endMs, other, adjustments }) => [day, endMs - startMs, other, adjustments]),
  ).toEqual([
    ['2011-12-29', DAY_MS, '1', '0'],
    ['2011-12-30', 0, '0', '10'],
    ['2011-12-31', DAY_MS, '100', '0'],
  ]);
});
