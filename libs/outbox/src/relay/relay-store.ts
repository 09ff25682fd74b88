import { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import { LOG_HORIZON } from '../log/event-log.js';
import type { EventBatch, Position } from '../log/position.js';

/** Bounds one statement of the relay. */
const STATEMENT_DEADLINE_MS = 5_000;

/**
 * Where a consumer goes on, of cursor `c` and position `a`. Not COALESCE: PostgreSQL takes that for a function that might leak
 * rows past row-level security, and then reads the partition from its beginning instead of using the index (18.4).
 */
const AFTER_XID = 'CASE WHEN a.consumer IS NULL THEN c.xid ELSE a.xid END';
const AFTER_SEQ = 'CASE WHEN a.consumer IS NULL THEN c.seq ELSE a.seq END';

/** Where merchants go apart, a batch may pass over so many times its size of their events: they cost no more than to be read. */
const PASSED_OVER = 50;

/**
 * $1 consumer, $2 partitions, $3 events a batch, $4 milliseconds after which what was dispatched but not applied is
 * dispatched again. A consumer that keeps a position of its own is read from there, and has one batch at a time in hand. Then the
 * merchants that go apart, and are not at work.
 *
 * Only rows below the log's horizon are read. An id or a sequence alone would skip the event of a transaction that commits late.
 */
const NEXT = {
  name: 'relay-next',
  text: `
SELECT c.partition, NULL::bigint AS merchant_id, ${AFTER_XID} AS after_xid, ${AFTER_SEQ} AS after_seq,
       coalesce((a.xid, a.seq) < (c.xid, c.seq), false) AS is_again, s.xids[s.count] AS xid, s.seqs[s.count] AS seq, s.count
  FROM relay_cursors c
  LEFT JOIN consumer_positions a ON a.consumer = c.consumer AND a.partition = c.partition
  CROSS JOIN LATERAL (SELECT ARRAY(
    SELECT merchant_id FROM merchant_positions m WHERE m.consumer = c.consumer AND m.partition = c.partition) AS merchants) apart
  CROSS JOIN LATERAL (
    SELECT array_agg(e.xid) AS xids, array_agg(e.seq) AS seqs, count(*)::int AS count
      FROM (SELECT xid, seq, count(*) FILTER (WHERE merchant_id <> ALL (apart.merchants)) OVER (ORDER BY xid, seq) AS due
              FROM (SELECT merchant_id, xid, seq FROM events
                     WHERE partition = c.partition AND (xid, seq) > (${AFTER_XID}, ${AFTER_SEQ})
                       AND xid < ${LOG_HORIZON}
                     ORDER BY xid, seq LIMIT $3 * CASE WHEN apart.merchants = '{}' THEN 1 ELSE ${PASSED_OVER} END) read) e
     WHERE e.due <= $3
  ) s
 WHERE c.consumer = $1 AND c.partition = ANY ($2::smallint[]) AND s.count > 0
   AND (a.consumer IS NULL OR (a.xid, a.seq) >= (c.xid, c.seq)
        OR c.handed_at < now() - $4::int * interval '1 millisecond')
UNION ALL
SELECT m.partition, m.merchant_id, m.xid, m.seq, false, m.xid, m.seq, 0 FROM merchant_positions m
 WHERE m.consumer = $1 AND m.partition = ANY ($2::smallint[]) AND m.claimed_until < now()`,
};

/**
 * $1 consumer, then arrays: $2 partitions, $3 epochs, $4 xids, $5 seqs. The lock on the lease's row makes the comparison of
 * epochs hold until the commit: whoever slept past the lease moves nothing.
 */
const MOVE = {
  name: 'relay-move',
  text: `
WITH moved AS (SELECT * FROM unnest($2::smallint[], $3::bigint[], $4::xid8[], $5::bigint[]) AS m (partition, epoch, xid, seq)),
held AS (SELECT partition, epoch FROM relay_partitions WHERE partition = ANY ($2::smallint[]) ORDER BY partition FOR SHARE),
ours AS (
  SELECT c.partition FROM relay_cursors c JOIN moved m USING (partition) JOIN held h USING (partition)
   WHERE c.consumer = $1 AND h.epoch = m.epoch ORDER BY c.partition FOR UPDATE OF c
)
UPDATE relay_cursors c
   SET xid = CASE WHEN (m.xid, m.seq) > (c.xid, c.seq) THEN m.xid ELSE c.xid END,
       seq = CASE WHEN (m.xid, m.seq) > (c.xid, c.seq) THEN m.seq ELSE c.seq END, handed_at = now()
  FROM moved m JOIN ours o USING (partition)
 WHERE c.consumer = $1 AND c.partition = m.partition
RETURNING c.partition`,
};

/** $1 consumer, $2 true: from what will be written next, false: from the beginning of the log. Several processes may do so at once. */
const REGISTER_CURSORS = `
INSERT INTO relay_cursors (consumer, partition, xid, seq)
SELECT $1, partition, CASE WHEN $2 THEN ${LOG_HORIZON} ELSE '0'::xid8 END, 0 FROM relay_partitions
 ORDER BY partition
ON CONFLICT DO NOTHING`;
const REGISTER_POSITIONS = `
INSERT INTO consumer_positions (consumer, partition, xid, seq) SELECT consumer, partition, xid, seq FROM relay_cursors WHERE consumer = $1
 ORDER BY partition
ON CONFLICT DO NOTHING`;

const ENTER_EPOCH = 'SELECT enter_log_epoch()';

export interface Backlog {
  /** Events that the consumer has not got yet, at most BACKLOG_COUNTED a partition. */
  events: number;
  /** Age of the oldest of them, in milliseconds; 0 without any. */
  ageMs: number;
  /** Merchants that go apart, whose events are not among these where their partition has passed over them. */
  apart: number;
  /** Age of the oldest event that one of them waits for. */
  apartAgeMs: number;
}

const BACKLOG_COUNTED = 100;
const BACKLOG = {
  name: 'relay-backlog',
  text: `
SELECT coalesce(sum(s.count), 0)::int AS events,
       coalesce(max(extract(epoch FROM clock_timestamp() - s.oldest) * 1000), 0)::float8 AS age_ms
  FROM relay_cursors c
  LEFT JOIN consumer_positions a ON a.consumer = c.consumer AND a.partition = c.partition
  CROSS JOIN LATERAL (
    SELECT count(*) AS count, min(occurred_at) AS oldest
      FROM (SELECT occurred_at FROM events
             WHERE partition = c.partition AND (xid, seq) > (${AFTER_XID}, ${AFTER_SEQ})
             ORDER BY xid, seq LIMIT ${BACKLOG_COUNTED}) e
  ) s
 WHERE c.consumer = $1`,
};
const APART = {
  name: 'relay-apart',
  text: `
SELECT count(*)::int AS apart, coalesce(max(extract(epoch FROM clock_timestamp() - s.oldest) * 1000), 0)::float8 AS age_ms
  FROM merchant_positions m
  LEFT JOIN LATERAL (
    SELECT occurred_at AS oldest FROM events WHERE merchant_id = m.merchant_id AND (xid, seq) > (m.xid, m.seq)
     ORDER BY xid, seq LIMIT 1) s ON true
 WHERE m.consumer = $1`,
};

interface StretchRow {
  partition: number;
  merchant_id: bigint | null;
  after_xid: bigint;
  after_seq: bigint;
  xid: bigint;
  seq: bigint;
  count: number;
  is_again: boolean;
}

/** All SQL of the relay but its leases. */
export class RelayStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Makes the consumer known; one that is known already goes on where it was. */
  async register(consumer: string, options: { from: 'beginning' | 'now'; keepsPosition: boolean }): Promise<void> {
    await this.#database.transaction('relay', deadline(), async (client) => {
      // A horizon to begin at is there once this server has an epoch.
      await client.query({ text: ENTER_EPOCH });
      await client.query({ text: REGISTER_CURSORS, values: [consumer, options.from === 'now'] });
      if (options.keepsPosition) await client.query({ text: REGISTER_POSITIONS, values: [consumer] });
    });
  }

  /** Begins the log's next epoch where the server is another one, or has gone back. Whoever appends does it, too. */
  async enterEpoch(): Promise<void> {
    await this.#database.write('relay', deadline(), { text: ENTER_EPOCH });
  }

  /** What is to be dispatched next, at most one batch a partition, and whose turn it is of those who go apart. */
  async next(
    consumer: string,
    partitions: readonly number[],
    limits: { batchSize: number; resendMs: number },
  ): Promise<EventBatch[]> {
    const values = [consumer, partitions, limits.batchSize, limits.resendMs];
    const rows = await this.#database.read<StretchRow & Record<string, unknown>>('relay', deadline(), {
      ...NEXT,
      values,
    });
    return rows.map(({ partition, merchant_id, after_xid, after_seq, xid, seq, count, is_again }) => ({
      partition,
      ...(merchant_id === null ? {} : { merchantId: merchant_id }),
      after: { xid: after_xid, seq: after_seq },
      through: { xid, seq },
      count,
      isAgain: is_again,
    }));
  }

  /** Records what has been dispatched. Returns the partitions that moved: those of a lost lease did not. */
  async move(
    consumer: string,
    handed: readonly { partition: number; epoch: bigint; through: Position }[],
  ): Promise<Set<number>> {
    const values = [
      consumer,
      handed.map(({ partition }) => partition),
      handed.map(({ epoch }) => epoch),
      handed.map(({ through }) => through.xid),
      handed.map(({ through }) => through.seq),
    ];
    return this.#database.transaction('relay', deadline(), async (client) => {
      const { rows } = await client.query<{ partition: number }>({ ...MOVE, values });
      return new Set(rows.map(({ partition }) => partition));
    });
  }

  /** Events held back by an open transaction count: they are what an operator wants to see. */
  async backlog(consumer: string): Promise<Backlog> {
    const values = [consumer];
    const [row] = await this.#database.read<{ events: number; age_ms: number }>('relay', deadline(), {
      ...BACKLOG,
      values,
    });
    const [apart] = await this.#database.read<{ apart: number; age_ms: number }>('relay', deadline(), {
      ...APART,
      values,
    });
    return {
      events: row?.events ?? 0,
      ageMs: row?.age_ms ?? 0,
      apart: apart?.apart ?? 0,
      apartAgeMs: apart?.age_ms ?? 0,
    };
  }
}

function deadline(): Deadline {
  return Deadline.after(STATEMENT_DEADLINE_MS);
}
