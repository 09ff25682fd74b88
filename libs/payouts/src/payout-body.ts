import { isoTime } from '#kernel/clock.js';
import { snowflakeTimeMs } from '#kernel/snowflake.js';
import { type Account, type Balance, totalsBody } from '#ledger/accounts/account.js';
import type { PayoutRow } from './payout-rows.js';

/** A payout as clients are shown it, and as it is kept with an Idempotency-Key. */
export function payoutBody({ bank_sequence: _, trace_context: __, ...row }: PayoutRow) {
  return { ...row, created_at: isoTime(snowflakeTimeMs(BigInt(row.id))) };
}

export type PayoutBody = ReturnType<typeof payoutBody>;

/** What whoever asked for it is answered: with each account that it moved money on, as it was then. */
export function requestedPayoutBody(
  row: PayoutRow,
  accounts: ReadonlyMap<bigint, Account>,
  touched: ReadonlyMap<bigint, Balance>,
) {
  const balances = [...touched].map(([id, balance]) => {
    const side = accounts.get(id)?.normalSide;
    if (!side) throw new Error(`a payout on account ${id}, which is not there`);
    return { account_id: String(id), version: String(balance.version), ...totalsBody(side, balance) };
  });
  return { ...payoutBody(row), balances };
}

export type RequestedPayoutBody = ReturnType<typeof requestedPayoutBody>;
