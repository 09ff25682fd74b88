import type { Format } from './format.js';
import { netOf } from './row.js';

/** Our own words and minor units. */
export const GENERIC: Format = {
  columns: ['reference', 'object_ref', 'type', 'gross', 'fee', 'net', 'currency', 'occurred_at', 'batch'],
  batchName: (day) => `batch-${day}`,
  cells: (row) => ({
    reference: row.reference,
    object_ref: row.objectRef,
    type: row.type === 'carried' ? 'other' : row.type,
    gross: String(row.gross),
    fee: String(row.fee),
    net: String(netOf(row)),
    currency: row.currency,
    occurred_at: new Date(row.atMs).toISOString(),
    batch: row.batch,
  }),
};
