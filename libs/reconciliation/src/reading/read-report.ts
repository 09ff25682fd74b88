import { Camt053Reader } from './camt053-reader.js';
import { CsvReader } from './csv-reader.js';
import { READING_LIMITS, type ReadingLimits } from './limits.js';
import { pieces } from './pieces.js';
import type { ReportBatch, ReportReader } from './report-batch.js';
import { type Profile, SOURCES, type Source } from './sources.js';
import { unreadable } from './unreadable-report.js';
import { refuseWrapped } from './wrappings.js';

/**
 * Reads a report as it comes, holding a piece of it at a time. What can be read is told in rows, what cannot in bad rows, each in the
 * file's order; lines are unique among the rows, and among the bad rows. Throws UnreadableReport when it is no report of the source:
 * mostly before the first batch, and nothing that was told before then counts. `accounts`: whose rows are read; those of others are bad.
 */
export async function* readReport(
  source: Source,
  bytes: AsyncIterable<Uint8Array>,
  limits: ReadingLimits = READING_LIMITS,
  accounts?: ReadonlySet<string>,
): AsyncGenerator<ReportBatch> {
  const reader = readerOf(SOURCES[source], limits, accounts);
  let isEmpty = true;
  for await (const piece of pieces(bytes)) {
    if (isEmpty) refuseWrapped(piece);
    isEmpty = false;
    yield* told(reader.read(piece));
  }
  if (isEmpty) throw unreadable('is empty');
  yield* told(reader.end());
}

function readerOf(profile: Profile, limits: ReadingLimits, accounts?: ReadonlySet<string>): ReportReader {
  return profile.format === 'csv' ? new CsvReader(profile, limits, accounts) : new Camt053Reader(limits);
}

function* told(batch: ReportBatch): Generator<ReportBatch> {
  if (batch.rows.length + batch.bad.length + batch.statements.length > 0) yield batch;
}
