import { parseSnowflake } from '#kernel/snowflake.js';
import type { PayoutRow } from './payout-rows.js';

/**
 * Under what the bank knows a payout: the same for every try, so that it is paid once. The merchant is in it, as in every key of ours:
 * a callback, which names nothing else, leads to its merchant.
 */
export function instructionKey({ merchant_id, id }: Pick<PayoutRow, 'merchant_id' | 'id'>): string {
  return `${merchant_id}-${id}`;
}

/** Undefined: it is no key of ours. */
export function payoutOf(key: string): { merchantId: bigint; id: bigint } | undefined {
  const [merchant = '', payout = '', ...more] = key.split('-', 3);
  const [merchantId, id] = [parseSnowflake(merchant), parseSnowflake(payout)];
  return merchantId === undefined || id === undefined || more.length > 0 ? undefined : { merchantId, id };
}
