import type { BatchName } from './batches.js';
import type { Row } from './row.js';

/** How a processor writes what is in its rows. */
export interface Format {
  readonly columns: readonly string[];
  readonly batchName: BatchName;
  /** By column; what is not named is left empty. */
  cells(row: Row): Readonly<Record<string, string>>;
}
