import type { Span } from '@opentelemetry/api';
import type { EventBatch } from '#outbox/log/position.js';
import type { RelayTarget } from '#outbox/relay/relay.js';
import { int2Array, int8Array, textArray } from '#platform/binary-array.js';
import { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import { IS_OF_ROW, NAME_OF_BREAK } from '../matching/sides.js';
import { SOURCES } from '../reading/sources.js';
import { LATE_FACTS } from './names.js';

const BATCH_SIZE = 200;
const DEADLINE_MS = 5_000;

/** Arrays: $1 partitions, $2 $3 after, $4 $5 through. By what a report may have named what became known. */
const NAMES = {
  name: 'names-of-late-facts',
  text: `
SELECT DISTINCT e.merchant_id, n.name
  FROM unnest($1::smallint[], $2::xid8[], $3::bigint[], $4::xid8[], $5::bigint[]) AS s (partition, after_xid, after_seq, xid, seq)
 CROSS JOIN LATERAL (
    SELECT merchant_id, type, data FROM events
     WHERE partition = s.partition AND (xid, seq) > (s.after_xid, s.after_seq) AND (xid, seq) <= (s.xid, s.seq)
       AND (type LIKE 'payment.%' OR type LIKE 'payout.%')
     ORDER BY xid, seq LIMIT ${BATCH_SIZE}) e
 CROSS JOIN LATERAL (VALUES (e.data -> 'payment' ->> 'provider_ref'), (e.data -> 'fact' ->> 'object_ref'), (e.data -> 'payout' ->> 'id')) n (name)
 WHERE n.name <> ''`,
};

/**
 * $1 merchants and $2 names, $3 sources, $4 the wait in milliseconds. Reports with open breaks of rows of these names are due; one that waits already
 * keeps its time, and one that is being looked at gets another one, as it may have read before this was known.
 */
const ENQUEUE = `
INSERT INTO due_rows AS d (merchant_id, kind, subject_id, due_at, try_at)
SELECT DISTINCT k.merchant_id, '${LATE_FACTS}', b.reconciliation_id, t.due_at, t.due_at
  FROM unnest($1::bigint[], $2::text[]) AS k (merchant_id, name)
 CROSS JOIN unnest($3::text[]) AS s (source)
 CROSS JOIN LATERAL (SELECT reconciliation_id FROM breaks
                      WHERE merchant_id = k.merchant_id AND row_source = s.source AND ${NAME_OF_BREAK} = k.name AND ${IS_OF_ROW} OFFSET 0) b
 CROSS JOIN (SELECT date_trunc('milliseconds', now() + $4::int * interval '1 ms') AS due_at) t
 ORDER BY k.merchant_id, b.reconciliation_id
ON CONFLICT (merchant_id, kind, subject_id) DO UPDATE
  SET due_at = excluded.due_at, try_at = excluded.try_at, attempts = 0, last_error = NULL
  WHERE d.attempts > 0 AND d.due_at <> excluded.due_at`;

/** Follows the log, so that payments and payouts know nothing of reports: what becomes known late ends breaks within a named time. */
export class LateFacts implements RelayTarget {
  readonly consumer = LATE_FACTS;
  // What was known before is looked at whenever a report is closed.
  readonly from = 'now';
  readonly keepsPosition = false;
  readonly batchSize = BATCH_SIZE;

  constructor(
    private readonly database: Database,
    private readonly waitMs: number,
  ) {}

  async dispatch(batches: readonly EventBatch[], within?: Span): Promise<void> {
    const deadline = Deadline.after(DEADLINE_MS).under(within);
    const values = [
      int2Array(batches.map(({ partition }) => partition)),
      batches.map(({ after }) => after.xid),
      int8Array(batches.map(({ after }) => after.seq)),
      batches.map(({ through }) => through.xid),
      int8Array(batches.map(({ through }) => through.seq)),
    ];
    const rows = await this.database.read<{ merchant_id: bigint; name: string }>('relay', deadline, {
      ...NAMES,
      values,
    });
    if (rows.length === 0) return;
    const merchants = rows.map(({ merchant_id }) => merchant_id);
    const names = textArray(rows.map(({ name }) => name));
    await this.database.write({ merchantIds: [...new Set(merchants)] }, deadline, {
      text: ENQUEUE,
      values: [int8Array(merchants), names, textArray(Object.keys(SOURCES)), this.waitMs],
    });
  }
}
