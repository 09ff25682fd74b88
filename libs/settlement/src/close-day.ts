import type { BusinessDay } from '#kernel/business-day.js';
import { isoTime } from '#kernel/clock.js';
import { MAX_AMOUNT } from '#kernel/money.js';
import { snowflakeTimeMs } from '#kernel/snowflake.js';
import type { NewEntry, Refused } from '#ledger/posting/command.js';
import type { Transaction } from '#ledger/posting/transaction.js';
import type { Answer, GroupExtension, GroupTurn } from '#ledger/writing/group-extension.js';
import { int8Array } from '#platform/binary-array.js';
import { type CloseWrite, type DraftRow, LOOK_UP_DAY, type SettlementRow, WRITE } from './close-rows.js';

/** The due rows of business days: one for each merchant, at the end of the day that is to be settled next. The subject is the merchant. */
export const SETTLEMENT_DUE = 'settlement';

/** A day of a merchant, all of whose drafts are whole. */
export interface CloseDay {
  readonly day: BusinessDay;
  readonly nextEndMs: number;
  /** The merchant's, by which both days were reckoned. */
  readonly laterZones: string | null;
  /** The last day that is settled; undefined: none is. */
  readonly after: string | undefined;
  readonly firstDate: string;
  /** By currency: of those with fees. */
  readonly accounts: ReadonlyMap<string, FeeAccounts>;
}

export interface FeeAccounts {
  readonly payable: bigint;
  readonly revenue: bigint;
}

interface KnownDay {
  readonly businessDate: string | undefined;
  readonly laterZones: string | null;
  readonly drafts: readonly DraftRow[];
  /** Nobody else is at work on them. */
  readonly isFree: boolean;
}

type CloseTurn = GroupTurn<KnownDay, CloseWrite>;

/** What the caller is told: closed by this command, or to look again at how far the merchant is. */
export const CLOSED: Answer = { status: 200, response: '{"closed":true}' };
const LOOK_AGAIN: Answer = { status: 200, response: '{"closed":false}' };

/** Known by this name of each merchant. */
const KEY = 'day';

/**
 * Closes a day: fees are posted, drafts become settlements, and the next day is due; all in one commit group. Whoever comes second
 * finds the day closed, and changes nothing.
 */
export const CLOSE_DAY: GroupExtension<CloseDay, KnownDay, CloseWrite> = {
  name: 'settlement',
  lookUp: {
    text: LOOK_UP_DAY,
    values: (asked) => [int8Array([...new Set(asked.map(({ merchantId }) => merchantId))])],
    known: (row) => ({
      merchantId: row.merchant_id as bigint,
      key: KEY,
      value: {
        businessDate: (row.business_date as string | null) ?? undefined,
        laterZones: row.later_zones as string | null,
        drafts: JSON.parse((row.drafts as string | null) ?? '[]') as DraftRow[],
        isFree: row.is_free as boolean,
      },
    }),
  },
  decide(part, turn) {
    const known = turn.known(KEY);
    if (!known || !isReady(part, known)) return LOOK_AGAIN;
    for (const draft of known.drafts) {
      const refused = settle(part, draft, turn);
      if (refused) return refused;
    }
    const { day, nextEndMs, firstDate } = part;
    const merchant_id = String(turn.merchantId);
    turn.write({
      position: { merchant_id, first_date: firstDate, business_date: day.day, ended_at: isoTime(day.endMs) },
    });
    turn.setTimer(SETTLEMENT_DUE, turn.merchantId, nextEndMs);
    turn.learn(KEY, { ...known, businessDate: day.day, drafts: [], isFree: true });
    return CLOSED;
  },
  write: WRITE,
};

function isReady({ day, after, laterZones, accounts }: CloseDay, known: KnownDay): boolean {
  const { businessDate, drafts, isFree } = known;
  if (!isFree || businessDate !== after) return false;
  // Where the merchant has moved meanwhile its next day may end at another time.
  if (known.laterZones !== laterZones) return false;
  return drafts.every(
    (draft) =>
      draft.business_date === day.day &&
      draft.drafted_through === draft.looked_through &&
      (draft.fees === '0' || accounts.has(draft.currency)),
  );
}

function settle(part: CloseDay, draft: DraftRow, turn: CloseTurn): Refused | undefined {
  const posted = postFees(part, draft, turn);
  if (posted && 'accepted' in posted) return posted;
  const taken = posted ? takeFees(draft, posted, turn) : [];
  const net = draft.items === '0' ? 0n : settled(draft, posted, turn);
  turn.write({
    settled: {
      merchant_id: String(turn.merchantId),
      currency: draft.currency,
      settled: String(net),
      ...reachOf(draft, taken),
    },
  });
  return undefined;
}

/** Undefined: there are none. More is given back than charged: from the other side. */
function postFees({ accounts }: CloseDay, draft: DraftRow, turn: CloseTurn): Transaction | Refused | undefined {
  const fees = BigInt(draft.fees);
  const between = accounts.get(draft.currency);
  if (fees === 0n || !between) return undefined;
  const { currency, settlement_id, business_date } = draft;
  const [from, to] = fees > 0n ? [between.payable, between.revenue] : [between.revenue, between.payable];
  const entries = partsOf(fees > 0n ? fees : -fees).flatMap((posted): NewEntry[] => [
    { accountId: from, direction: 'debit', currency, posted, pending: 0n },
    { accountId: to, direction: 'credit', currency, posted, pending: 0n },
  ]);
  const metadata = JSON.stringify({ settlement_id, business_date });
  const decision = turn.post({ kind: 'adjust', type: 'settlement.fees', entries, metadata });
  return decision.accepted ? decision.transaction : decision;
}

/** No entry holds more than MAX_AMOUNT. */
function partsOf(amount: bigint): bigint[] {
  const parts: bigint[] = [];
  for (let left = amount; left > 0n; left -= MAX_AMOUNT) parts.push(left < MAX_AMOUNT ? left : MAX_AMOUNT);
  return parts;
}

/** The entries of the fees are the settlement's own: nobody settles them again. Returns their versions. */
function takeFees(draft: DraftRow, { id, entries, effectiveAtMs }: Transaction, turn: CloseTurn): bigint[] {
  const { account_id, settlement_id, business_date } = draft;
  const own = entries.filter(({ accountId }) => String(accountId) === account_id);
  for (const { accountVersion, direction, posted } of own) {
    const key = { merchant_id: String(turn.merchantId), account_id, account_version: String(accountVersion) };
    const line = {
      ...key,
      settlement_id,
      kind: 'fees' as const,
      transaction_id: String(id),
      amount: String(direction === 'credit' ? posted : -posted),
      fee: '0',
      effective_at: isoTime(effectiveAtMs),
      business_date,
    };
    turn.write({ line, item: { ...key, kind: 'fees', subject_id: settlement_id, fee: null } });
  }
  return own.map(({ accountVersion }) => accountVersion);
}

/** Returns the settlement's net. */
function settled(draft: DraftRow, fees: Transaction | undefined, turn: CloseTurn): bigint {
  const { settlement_id: id, first_version, last_version } = draft;
  const [gross, refunds, disputes] = [BigInt(draft.gross), BigInt(draft.refunds), BigInt(draft.disputes)];
  const net = gross - refunds - disputes + BigInt(draft.other) + BigInt(draft.adjustments) - BigInt(draft.fees);
  const settlement: SettlementRow = {
    merchant_id: String(turn.merchantId),
    id,
    business_date: draft.business_date,
    currency: draft.currency,
    account_id: draft.account_id,
    starts_at: draft.starts_at,
    ends_at: draft.ends_at,
    gross: draft.gross,
    refunds: draft.refunds,
    disputes: draft.disputes,
    other: draft.other,
    adjustments: draft.adjustments,
    fees: draft.fees,
    net: String(net),
    items: draft.items,
    transaction_id: fees ? String(fees.id) : null,
    looked_through: draft.looked_through,
    first_version: first_version as string,
    last_version: last_version as string,
  };
  turn.write({ settlement });
  const above = fees?.id ?? turn.nextId();
  turn.emit({ type: 'settlement.posted', data: toldOf(settlement), occurredAtMs: snowflakeTimeMs(above) });
  return net;
}

function toldOf(settlement: SettlementRow) {
  const { id, business_date, currency, starts_at, ends_at, gross, refunds, disputes, other } = settlement;
  const { adjustments, fees, net, items, transaction_id } = settlement;
  const period = { from: isoTime(Date.parse(starts_at)), to: isoTime(Date.parse(ends_at)) };
  const amounts = { gross, refunds, disputes, other, adjustments, fees, net };
  return { settlement_id: id, business_date, currency, period, ...amounts, items, transaction_id };
}

/** How far the account has been looked at, and how far nothing is left of it. Fees that follow at once are as good as looked at. */
function reachOf({ looked_through, first_left }: DraftRow, fees: readonly bigint[]) {
  let looked = BigInt(looked_through);
  let taken = first_left === null ? looked : BigInt(first_left) - 1n;
  for (const version of fees) {
    if (version !== looked + 1n) break;
    if (taken === looked) taken = version;
    looked = version;
  }
  return { looked_through: String(looked), taken_through: String(taken) };
}
