import type { ToldEvent } from '#outbox/log/append.js';
import { payoutBody } from './payout-body.js';
import type { PayoutRow } from './payout-rows.js';

/** What the bank has answered, and the payout as it then is. Undefined: it is still on its way. */
export function payoutEvent(
  row: PayoutRow,
  transaction_id: string | null,
  occurredAtMs: number,
): ToldEvent | undefined {
  const { status } = row;
  if (status !== 'paid' && status !== 'failed' && status !== 'returned') return undefined;
  const { transactions: _, timeline: __, ...payout } = payoutBody(row);
  return { type: `payout.${status}`, data: { payout: { ...payout, status }, transaction_id }, occurredAtMs };
}
