import type { BadRow, ReportRow } from '../report-row.js';

/** What a bank's statement says of itself, in minor units; what leaves the account is below zero. */
export interface StatementFacts {
  readonly id: string;
  readonly account: string;
  readonly currency: string;
  /** Undefined: the statement does not say. */
  readonly opening: bigint | undefined;
  readonly closing: bigint | undefined;
  /** The sum of its booked entries. */
  readonly entries: bigint;
}

/** What a piece of a report completed. */
export interface ReportBatch {
  readonly rows: readonly ReportRow[];
  readonly bad: readonly BadRow[];
  readonly statements: readonly StatementFacts[];
}

/** Of one format. Both throw UnreadableReport. */
export interface ReportReader {
  read(piece: Buffer): ReportBatch;
  end(): ReportBatch;
}
