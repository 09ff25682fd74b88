import { z } from 'zod';
import { id } from './event-fields.js';
import { EventSchema } from './event-schema.js';

const count = z.int().min(0);

const completed = z.strictObject({
  reconciliation_id: id,
  source: z.string().describe('Whose report it was.'),
  rows: count.describe('Lines that could be read.'),
  rows_bad: count.describe('Lines that could not.'),
  repeated: count.describe('Rows that another report had told before.'),
  matched: count.describe('Rows that are in a match.'),
  expected: count.describe('What the ledger has of the period, and no report has told yet.'),
  breaks_open: count.describe('What is neither matched nor just expected.'),
});

export const RECONCILIATION_EVENTS = {
  'reconciliation.completed': EventSchema.first('A report was held against the ledger.', completed),
} as const;
