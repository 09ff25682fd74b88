/** What a processor says in one row of a report, whatever the format. Signed as the merchant sees it: a refund is below zero. */
export interface Row {
  readonly type: 'payment' | 'refund' | 'dispute' | 'dispute_reversed' | 'fee' | 'carried' | 'payout';
  /** The payment's name; '' where it is of none. */
  readonly reference: string;
  /** Of the capture, refund or dispute; of what is carried over whence, or whither. */
  readonly objectRef: string;
  /** In minor units. */
  readonly gross: bigint;
  /** What the processor kept of it. */
  readonly fee: bigint;
  readonly currency: string;
  readonly atMs: number;
  /** What is paid out together. */
  readonly batch: string;
}

/** What is known of a row before it is in a batch. */
export type Happened = Omit<Row, 'batch'>;

export const netOf = ({ gross, fee }: Pick<Row, 'gross' | 'fee'>): bigint => gross - fee;
