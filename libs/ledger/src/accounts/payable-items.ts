/**
 * What an entry on merchant_payable is of. The capability whose money it is writes so with the entry, in the same commit group; an entry
 * without an item was posted by hand. Settlements and reconciliation are told apart by it.
 */
export interface PayableItem {
  readonly merchant_id: string;
  /** merchant_payable of the entry's currency. */
  readonly account_id: string;
  readonly account_version: string;
  readonly kind: 'payment' | 'refund' | 'dispute' | 'payout' | 'fees';
  /** The payment, the payout, or the settlement. */
  readonly subject_id: string;
  /** Minor units that are to be charged for it, signed: of payouts alone. */
  readonly fee: string | null;
}

/** $n: the items, as a JSON array. For the statement that an extension writes with. */
export function insertPayableItems(n: number): string {
  return `
  INSERT INTO payable_items (merchant_id, account_id, account_version, kind, subject_id, fee)
  SELECT merchant_id, account_id, account_version, kind, subject_id, fee
    FROM json_populate_recordset(NULL::payable_items, $${n}::json)`;
}
