import type { FeePlanSpan } from '#fees/fee-plan.js';
import type { BusinessCalendar } from '#kernel/business-day.js';
import { int8Array, textArray } from '#platform/binary-array.js';
import type { Deadline } from '#platform/deadline.js';
import { PLAN_BY_KEYS } from '#platform/plan-by-keys.js';
import { allSettledThenThrow, type Database, type TransactionClient } from '#platform/postgres.js';
import { DRAFT, LOCK_DRAFTS } from './draft-sql.js';
import { piecesOf } from './pieces.js';
import { TermSheet } from './terms.js';

/** A draft that is not whole yet. */
export interface OpenDraft {
  readonly merchantId: bigint;
  readonly currency: string;
  readonly settlementId: bigint;
  readonly draftedThrough: bigint;
  readonly lookedThrough: bigint;
}

/** What drafting has to know of a merchant. */
export interface DraftTerms {
  readonly calendar: BusinessCalendar;
  readonly plans: readonly FeePlanSpan[];
}

/** Part of a draft: its entries up to `until`. */
export interface Slice extends OpenDraft {
  readonly until: bigint;
}

const OPEN_DRAFTS = `
SELECT merchant_id, currency, settlement_id, drafted_through, looked_through FROM settlement_drafts
 WHERE merchant_id = ANY ($1::bigint[]) AND drafted_through < looked_through ORDER BY merchant_id, currency`;

interface OpenDraftRow extends Record<string, unknown> {
  merchant_id: bigint;
  currency: string;
  settlement_id: bigint;
  drafted_through: bigint;
  looked_through: bigint;
}

export async function openDrafts(
  database: Database,
  merchantIds: readonly bigint[],
  deadline: Deadline,
): Promise<OpenDraft[]> {
  if (merchantIds.length === 0) return [];
  const rows = await database.read<OpenDraftRow>({ merchantIds }, deadline, {
    text: OPEN_DRAFTS,
    values: [int8Array(merchantIds)],
  });
  return rows.map((row) => ({
    merchantId: row.merchant_id,
    currency: row.currency,
    settlementId: row.settlement_id,
    draftedThrough: row.drafted_through,
    lookedThrough: row.looked_through,
  }));
}

/** Cuts what is open into chunks of so many entries: each is one transaction. Of a draft that is larger its first part. */
export function chunksOf(open: readonly OpenDraft[], entries: number): Slice[][] {
  const chunks: Slice[][] = [];
  let room = 0n;
  for (const draft of open) {
    if (room <= 0n) {
      chunks.push([]);
      room = BigInt(entries);
    }
    const left = draft.lookedThrough - draft.draftedThrough;
    const size = left < room ? left : room;
    chunks.at(-1)?.push({ ...draft, until: draft.draftedThrough + size });
    room -= size;
  }
  return chunks;
}

interface LockedDraft extends Record<string, unknown> {
  merchant_id: bigint;
  currency: string;
  settlement_id: bigint;
  account_id: bigint;
  starts_at: number;
  ends_at: number;
  seen_through: bigint;
  business_date: string;
  after: bigint;
  until: bigint;
  earlier: number[];
}

/** Drafts a chunk, but for what somebody else is at work on or has drafted meanwhile. Returns how many drafts went on. */
export async function draftChunk(
  database: Database,
  slices: readonly Slice[],
  termsOf: (merchantId: bigint) => DraftTerms,
  deadline: Deadline,
): Promise<number> {
  const merchantIds = [...new Set(slices.map(({ merchantId }) => merchantId))];
  return database.transaction({ merchantIds }, deadline, async (client) => {
    const locked = await lock(client, slices);
    if (locked.length === 0) return 0;
    const sheet = new TermSheet();
    const asked = locked.map((draft) => askedOf(draft, termsOf(draft.merchant_id), sheet));
    await client.query({ text: DRAFT, values: [JSON.stringify(asked), JSON.stringify(sheet.rows)] });
    return locked.length;
  });
}

async function lock(client: TransactionClient, slices: readonly Slice[]): Promise<LockedDraft[]> {
  const values = [
    int8Array(slices.map(({ merchantId }) => merchantId)),
    textArray(slices.map(({ currency }) => currency)),
    int8Array(slices.map(({ settlementId }) => settlementId)),
    int8Array(slices.map(({ draftedThrough }) => draftedThrough)),
    int8Array(slices.map(({ until }) => until)),
  ];
  const [, locked] = await allSettledThenThrow([
    client.query<LockedDraft>({ text: PLAN_BY_KEYS }),
    client.query<LockedDraft>({ text: LOCK_DRAFTS, values }),
  ]);
  return locked?.rows ?? [];
}

function askedOf(draft: LockedDraft, { calendar, plans }: DraftTerms, sheet: TermSheet): object {
  const { starts_at, ends_at, earlier, business_date, currency } = draft;
  const day = { day: business_date, startMs: starts_at, endMs: ends_at };
  const pieces = piecesOf(calendar, plans, day, earlier);
  return {
    merchant_id: String(draft.merchant_id),
    currency,
    settlement_id: String(draft.settlement_id),
    account_id: String(draft.account_id),
    after: String(draft.after),
    until: String(draft.until),
    seen_through: String(draft.seen_through),
    starts_at: new Date(starts_at),
    ends_at: new Date(ends_at),
    since: pieces.map(({ fromMs }) => new Date(fromMs)),
    dates: pieces.map(({ businessDate }) => businessDate),
    months: pieces.map(({ month }) => month),
    plan_ids: pieces.map(({ plan }) => plan && String(plan.planId)),
    plan_versions: pieces.map(({ plan }) => plan?.version),
    returns: pieces.map(({ plan }) => plan?.refundReturnsFee),
    terms: pieces.map(({ plan }) => plan && sheet.numberOf(plan, currency)),
  };
}
