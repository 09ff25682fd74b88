import { asAdmin } from '../support/database.js';
import { until } from '../support/until.js';
import type { Ledger } from './check.js';
import type { LedgerEntry } from './history.js';

/** What is in the ledger, by SQL of the judge's own. A move has no reference of its own: its key tells whose it is. */
const ENTRIES = `
SELECT e.account_id::text AS account, e.account_version::int AS version, e.direction::int AS direction,
       e.posted_amount::text AS posted, e.pending_amount::text AS pending, e.transaction_id::text AS transaction,
       coalesce(k.key, CASE WHEN t.parent_id IS NULL THEN t.external_ref END, '') AS key,
       CASE WHEN t.kind = 'expiry' THEN p.external_ref END AS expiry_of, t.kind = 'adjustment' AS is_adjustment
  FROM entries e JOIN transactions t ON t.merchant_id = e.merchant_id AND t.id = e.transaction_id
  LEFT JOIN idempotency_keys k ON k.merchant_id = t.merchant_id AND k.transaction_id = t.id
  LEFT JOIN transactions p ON p.merchant_id = t.merchant_id AND p.id = t.parent_id`;

const BALANCES = `
SELECT account_id::text AS account, version::int AS version, posted_debits::text, posted_credits::text,
       pending_debits::text, pending_credits::text FROM balances`;

/** Where settlements posted their fees. */
const FEES = `
SELECT merchant_id::text AS merchant, to_char(business_date, 'YYYY-MM-DD') AS date, transaction_id::text AS transaction FROM settlements
 WHERE transaction_id IS NOT NULL`;

/** All of one moment: the service itself may be writing, as when it settles a day. */
export function readLedger(ownerUrl: string): Promise<Ledger> {
  return asAdmin(ownerUrl, async (owner) => {
    await owner.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const entries = (await owner.query(ENTRIES)).rows.map((row): LedgerEntry => {
      const { account, version, direction, transaction, key, expiry_of: expiryOf, is_adjustment: isAdjustment } = row;
      const [p, h] = [BigInt(row.posted), BigInt(row.pending)];
      const adds = direction === 1 ? ([p, 0n, h, 0n] as const) : ([0n, p, 0n, h] as const);
      return { account, version, adds, transaction, key, isAdjustment, ...(expiryOf !== null && { expiryOf }) };
    });
    const balances = (await owner.query(BALANCES)).rows.map(({ account, version, ...sums }) => {
      const of = (name: string) => BigInt(sums[name]);
      const inOrder = [of('posted_debits'), of('posted_credits'), of('pending_debits'), of('pending_credits')] as const;
      return { account, version, sums: inOrder };
    });
    const fees = (await owner.query(FEES)).rows;
    return { entries, balances, fees };
  });
}

const STILL_HELD = `
SELECT count(*)::int AS count FROM transaction_states s
  JOIN transactions t ON t.merchant_id = s.merchant_id AND t.id = s.transaction_id
 WHERE s.remaining > 0 AND t.expires_at IS NOT NULL`;
const UNPAID = `SELECT count(*)::int AS count FROM payouts WHERE status IN ('reserved', 'instructed')`;
/**
 * What failed while its servers were away is tried again after a wait that has grown: 80 s after the fourth failure (due-rows.ts), and a
 * claimer that was killed keeps it for 30 s more.
 */
const END_LIMIT_MS = 200_000;

/** A hold that has an end has ended by the hand of the worker, and a payout has come to one. Answers what has not. */
export async function untilEnded(ownerUrl: string): Promise<string[]> {
  return asAdmin(ownerUrl, async (owner) => {
    const none = async (sql: string, what: string): Promise<string[]> => {
      const left = async () => (await owner.query<{ count: number }>(sql)).rows[0]?.count ?? 0;
      try {
        await until(`no ${what} any more`, async () => (await left()) === 0, END_LIMIT_MS);
        return [];
      } catch {
        return [`${await left()} ${what}`];
      }
    };
    return [
      ...(await none(STILL_HELD, 'holds that are over and were not released')),
      ...(await none(UNPAID, 'payouts that the bank has answered and nobody has asked for')),
    ];
  });
}
