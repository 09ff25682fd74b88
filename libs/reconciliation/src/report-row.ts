/** What a processor or a bank says in one row of a report, in our words: the same whatever format it came in. */

export const ROW_TYPES = ['payment', 'refund', 'dispute', 'dispute_reversed', 'fee', 'payout', 'other'] as const;

export type RowType = (typeof ROW_TYPES)[number];

/** A row that could be read. Amounts are minor units, `gross` and `net` signed as the merchant sees them (a refund is below zero). */
export interface ReportRow {
  /**
   * Unique in its report, and rising. Of CSV the physical line that the row begins in, the header's being 1; of XML, whose lines mean
   * nothing, which transaction of the file it is, from 1.
   */
  readonly line: number;
  /** 32 hexadecimal digits, which PostgreSQL takes for a uuid: what the source itself tells its rows apart by (`reading/identity.ts`). */
  readonly identity: string;
  readonly type: RowType;
  /** The payment or, in a bank's statement, the payout, as the source names it. */
  readonly reference: string | undefined;
  /** The capture, refund or dispute, as facts name it (`payment_facts.object_ref`). */
  readonly objectRef: string | undefined;
  /** What the customer paid or got back, before fees. */
  readonly gross: bigint;
  /** Above zero: charged. */
  readonly fee: bigint;
  /** `gross` less `fee`, always. */
  readonly net: bigint;
  readonly currency: string;
  readonly occurredAtMs: number;
  /** What was paid out together, as the source names it. Of a bank's credit: its remittance text, which may name a batch. */
  readonly batch: string | undefined;
}

/** A row that could not be read. */
export interface BadRow {
  readonly line: number;
  /** For people, in words. */
  readonly problem: string;
  /** The row as it stands, at most EXCERPT_CHARACTERS of it. */
  readonly excerpt: string;
}

export const EXCERPT_CHARACTERS = 200;
