import { businessDay, businessDayAt } from '#kernel/business-day.js';
import { ProblemError } from '#kernel/problem.js';
import { LOCK_MERCHANTS } from '#outbox/log/append.js';
import { int8Array } from '#platform/binary-array.js';
import { Deadline } from '#platform/deadline.js';
import { type DueRow, enqueueDue } from '#platform/due-rows.js';
import { merchantPages } from '#platform/merchant-pages.js';
import type { Database, TransactionClient } from '#platform/postgres.js';
import { calendarOf } from './calendar.js';
import { SETTLEMENT_DUE } from './close-day.js';
import { dayAfter } from './next-step.js';
import { type Clocked, loadClocks } from './standings.js';

/**
 * The calendar of settlements: of each merchant one due row, at the end of the day that is to be settled next. It is made when the
 * merchant is opened or moves to another zone, and again by the group that closes a day.
 */

const DEADLINE_MS = 30_000;

type Due = Pick<DueRow, 'merchantId' | 'subjectId' | 'dueAtMs'>;

/** For a transaction that has not written yet: no day of the merchant's is closed until it ends. */
export async function lockCalendar(client: TransactionClient, merchantId: bigint): Promise<void> {
  await client.query({ ...LOCK_MERCHANTS, values: [int8Array([merchantId])] });
}

/** For the caller's transaction, behind the merchant's lock: its next day is due at its end, as its clock now is. */
export async function beginCalendar(client: TransactionClient, merchantId: bigint): Promise<void> {
  await setDue(client, [merchantId]);
}

/**
 * Makes the due rows that are missing, of merchants whom a process of a version before has opened, and puts those right whose zone such a
 * one has changed. Returns how many.
 */
export async function completeCalendars(database: Database): Promise<number> {
  let completed = 0;
  for await (const merchantIds of merchantPages(database, newDeadline)) {
    const wrong = await withoutRightDue(database, merchantIds);
    if (wrong.length === 0) continue;
    completed += await database.transaction({ merchantIds: wrong }, newDeadline(), async (client) => {
      await client.query({ ...LOCK_MERCHANTS, values: [int8Array(wrong)] });
      return setDue(client, wrong);
    });
  }
  return completed;
}

/** The last day that is over where each merchant is. Where no day can be reckoned that of UTC: a run has to say so of the merchant. */
export async function lastDaysOver(
  database: Database,
  merchantIds: readonly bigint[],
  nowMs: number,
  deadline: Deadline,
): Promise<Map<bigint, string>> {
  const clocks = await database.transaction({ merchantIds }, deadline, (client) => loadClocks(client, merchantIds));
  const utc = calendarOf({ timeZone: 'UTC', cutoff: '00:00', later: [] });
  return new Map(
    clocks.map((one) => [one.merchantId, dayAfter(businessDayAt(calendarIfKnown(one) ?? utc, nowMs).day, -1)]),
  );
}

async function setDue(client: TransactionClient, merchantIds: readonly bigint[]): Promise<number> {
  const due = (await loadClocks(client, merchantIds)).flatMap(dueOf);
  if (due.length > 0) await client.query(enqueueDue(SETTLEMENT_DUE, due));
  return due.length;
}

const DUE_ROWS = 'SELECT merchant_id, due_at FROM due_rows WHERE merchant_id = ANY ($1::bigint[]) AND kind = $2';

async function withoutRightDue(database: Database, merchantIds: readonly bigint[]): Promise<bigint[]> {
  return database.transaction({ merchantIds }, newDeadline(), async (client) => {
    const values = [int8Array(merchantIds), SETTLEMENT_DUE];
    const { rows } = await client.query<{ merchant_id: bigint; due_at: number }>({ text: DUE_ROWS, values });
    const known = new Map(rows.map((row) => [row.merchant_id, row.due_at]));
    const due = (await loadClocks(client, merchantIds)).flatMap(dueOf);
    return due.filter((one) => known.get(one.merchantId) !== one.dueAtMs).map(({ merchantId }) => merchantId);
  });
}

/** None of a merchant in whose zone no day can be reckoned. */
function dueOf(clocked: Clocked): Due[] {
  const calendar = calendarIfKnown(clocked);
  if (!calendar) return [];
  const { merchantId, position, createdAtMs } = clocked;
  const next = position ? businessDay(calendar, dayAfter(position.businessDate)) : businessDayAt(calendar, createdAtMs);
  return [{ merchantId, subjectId: merchantId, dueAtMs: next.endMs }];
}

function calendarIfKnown({ clock }: Clocked) {
  try {
    return calendarOf(clock);
  } catch (error) {
    if (error instanceof ProblemError) return undefined;
    throw error;
  }
}

function newDeadline(): Deadline {
  return Deadline.after(DEADLINE_MS);
}
