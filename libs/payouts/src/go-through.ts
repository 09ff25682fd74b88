import { isoTime } from '#kernel/clock.js';
import { snowflakeTimeMs } from '#kernel/snowflake.js';
import type { Balance } from '#ledger/accounts/account.js';
import type { Accepted, Refused } from '#ledger/posting/command.js';
import { refuse } from '#ledger/posting/entries.js';
import { payoutEvent } from './payout-events.js';
import { type PayoutPart, type PayoutTurn, payoutKey, type Settled, settledKey } from './payout-part.js';
import { moneyOf, type PayoutRow } from './payout-rows.js';
import { nextAsk, PAYOUT, PAYOUT_WATCH } from './payout-timers.js';
import { entriesBetween, type PayoutPosition, type PayoutStatus, positionOf } from './status.js';

/**
 * Changes a payout, status by status, with all that follows: transactions, items, what is paid out, events, timers. None: something
 * else of it. Refused where the ledger has no room for it; then nothing of the command is kept.
 */
export function goThrough(
  row: PayoutRow,
  steps: readonly PayoutStatus[],
  part: PayoutPart,
  turn: PayoutTurn,
): { row: PayoutRow; balances: ReadonlyMap<bigint, Balance> } | Refused {
  const isNew = row.timeline.length === 0;
  let [changed, balances]: [PayoutRow, ReadonlyMap<bigint, Balance>] = [row, new Map()];
  for (const status of steps) {
    const posted = post(changed, status, part, turn);
    if (posted && !posted.accepted) return refuse(posted.code, `The payout cannot be ${status}: ${posted.detail}`);
    changed = entered(changed, status, posted, turn);
    balances = posted?.balances ?? balances;
  }
  turn.learn(payoutKey(row.id), changed);
  turn.write({ table: 'payouts', isNew, row: changed });
  setTimers(changed, isNew, part, turn);
  return { row: changed, balances };
}

/** What two positions differ by, as one transaction. No balance is too low for it, but an account can have had too much in all. */
function post(
  row: PayoutRow,
  status: PayoutStatus,
  { accounts }: PayoutPart,
  turn: PayoutTurn,
): Accepted | Refused | undefined {
  const [before, after] = [positionOf(row.status, moneyOf(row)), positionOf(status, moneyOf(row))];
  const entries = entriesBetween(before, after);
  if (entries.length === 0) return undefined;
  const posted = turn.post({
    kind: 'adjust',
    type: `payout.${status}`,
    metadata: JSON.stringify({ payout_id: row.id }),
    entries: entries.map(({ account, direction, amount }) => ({
      accountId: accounts[account].id,
      direction,
      currency: row.currency,
      posted: amount,
      pending: 0n,
    })),
  });
  if (!posted.accepted) return posted;
  count(row, [before, after], turn);
  const payable = posted.transaction.entries.find(({ accountId }) => accountId === accounts.merchant_payable.id);
  if (payable) {
    const item = {
      merchant_id: row.merchant_id,
      account_id: String(payable.accountId),
      account_version: String(payable.accountVersion),
      kind: 'payout',
      subject_id: row.id,
      fee: String(after.fee - before.fee),
    } as const;
    turn.write({ table: 'payable_items', row: item });
  }
  return posted;
}

/** What is left to pay changes with what merchant_payable has. */
function count({ currency }: PayoutRow, [before, after]: readonly [PayoutPosition, PayoutPosition], turn: PayoutTurn) {
  const more = after.paidOut - before.paidOut;
  if (more === 0n) return;
  turn.write({ table: 'settled_balances', merchantId: turn.merchantId, currency, more });
  const known = turn.known(settledKey(currency)) as Settled | undefined;
  if (known) turn.learn(settledKey(currency), { ...known, paidOut: known.paidOut + more });
}

function entered(row: PayoutRow, status: PayoutStatus, posted: Accepted | undefined, turn: PayoutTurn): PayoutRow {
  const transaction = posted ? String(posted.transaction.id) : null;
  const nowMs = snowflakeTimeMs(posted?.transaction.id ?? turn.nextId());
  const detail = status === 'failed' || status === 'returned' ? row.failure_code : null;
  const entry = { status, at: isoTime(nowMs), detail, transaction_id: transaction };
  const changed: PayoutRow = {
    ...row,
    status,
    transactions: transaction ? [...row.transactions, transaction] : row.transactions,
    timeline: [...row.timeline, entry],
  };
  const event = payoutEvent(changed, transaction, nowMs);
  if (event) turn.emit(event);
  return changed;
}

function setTimers(row: PayoutRow, isNew: boolean, { times }: PayoutPart, turn: PayoutTurn): void {
  const next = nextAsk(row, times, snowflakeTimeMs(turn.nextId()));
  for (const kind of isNew ? [PAYOUT] : [PAYOUT, PAYOUT_WATCH]) {
    turn.setTimer(kind, BigInt(row.id), next?.kind === kind ? next.atMs : undefined);
  }
}
