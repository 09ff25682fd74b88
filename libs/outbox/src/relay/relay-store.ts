import type { Span } from '@opentelemetry/api';
import { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import { tracingIsOn } from '#platform/tracing.js';
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

/** Traces of one batch that its spans name, and events of it that are looked at for them. */
const TRACES = 10;
const LOOKED_AT_FOR_TRACES = 100;

/**
 * $1 consumers, $2 partitions, $3 events a batch of each consumer, $4 milliseconds after which what was dispatched but not applied is
 * dispatched again. A consumer that keeps a position of its own is read from there, and has one batch at a time in hand. Then the
 * merchants that go apart, and are not at work. Mostly a partition has nothing new, which its newest event tells for all consumers.
 * $5 whether traces are asked for: they are in the table, all else is in the index.
 *
 * Only rows below the log's horizon are read. An id or a sequence alone would skip the event of a transaction that commits late.
 */
const NEXT = {
  name: 'relay-next',
  text: `
WITH newest AS MATERIALIZED (
  SELECT partition, n.xid, n.seq FROM unnest($2::smallint[]) AS p (partition)
   CROSS JOIN LATERAL (SELECT xid, seq FROM events WHERE partition = p.partition ORDER BY xid DESC, seq DESC LIMIT 1) n
)
SELECT c.consumer, c.partition, NULL::bigint AS merchant_id, ${AFTER_XID} AS after_xid, ${AFTER_SEQ} AS after_seq,
       coalesce((a.xid, a.seq) < (c.xid, c.seq), false) AS is_again, s.xids[s.count] AS xid, s.seqs[s.count] AS seq, s.count,
       CASE WHEN $5::boolean THEN ARRAY(
         SELECT trace_context
           FROM (SELECT merchant_id, trace_context FROM events
                  WHERE partition = c.partition AND (xid, seq) > (${AFTER_XID}, ${AFTER_SEQ})
                    AND (xid, seq) <= (s.xids[s.count], s.seqs[s.count])
                  ORDER BY xid, seq LIMIT ${LOOKED_AT_FOR_TRACES}) first
          WHERE trace_context LIKE '%-01' AND merchant_id <> ALL (apart.merchants) LIMIT ${TRACES}) ELSE '{}' END AS traces
  FROM newest n
  JOIN relay_cursors c ON c.partition = n.partition
  LEFT JOIN consumer_positions a ON a.consumer = c.consumer AND a.partition = c.partition
  CROSS JOIN LATERAL (SELECT ($3::int[])[array_position($1::text[], c.consumer)] AS size) batch
  CROSS JOIN LATERAL (SELECT ARRAY(
    SELECT merchant_id FROM merchant_positions m WHERE m.consumer = c.consumer AND m.partition = c.partition) AS merchants) apart
  CROSS JOIN LATERAL (
    SELECT array_agg(e.xid) AS xids, array_agg(e.seq) AS seqs, count(*)::int AS count
      FROM (SELECT xid, seq, count(*) FILTER (WHERE merchant_id <> ALL (apart.merchants)) OVER (ORDER BY xid, seq) AS due
              FROM (SELECT merchant_id, xid, seq FROM events
                     WHERE partition = c.partition AND (xid, seq) > (${AFTER_XID}, ${AFTER_SEQ})
                       AND xid < ${LOG_HORIZON}
                     ORDER BY xid, seq LIMIT batch.size * CASE WHEN apart.merchants = '{}' THEN 1 ELSE ${PASSED_OVER} END) read) e
     WHERE e.due <= batch.size
  ) s
 WHERE c.consumer = ANY ($1::text[]) AND (n.xid, n.seq) > (${AFTER_XID}, ${AFTER_SEQ}) AND s.count > 0
   AND (a.consumer IS NULL OR (a.xid, a.seq) >= (c.xid, c.seq)
        OR c.handed_at < now() - $4::int * interval '1 millisecond')
UNION ALL
SELECT m.consumer, m.partition, m.merchant_id, m.xid, m.seq, false, m.xid, m.seq, 0, '{}' FROM merchant_positions m
 WHERE m.consumer = ANY ($1::text[]) AND m.partition = ANY ($2::smallint[]) AND m.claimed_until < now()`,
};

/**
 * Arrays: $1 consumers, $2 partitions, $3 epochs, $4 xids, $5 seqs. The lock on the lease's row makes the comparison of
 * epochs hold until the commit: whoever slept past the lease moves nothing.
 */
const MOVE = {
  name: 'relay-move',
  text: `
WITH moved AS (
  SELECT * FROM unnest($1::text[], $2::smallint[], $3::bigint[], $4::xid8[], $5::bigint[]) AS m (consumer, partition, epoch, xid, seq)),
held AS (SELECT partition, epoch FROM relay_partitions WHERE partition = ANY ($2::smallint[]) ORDER BY partition FOR SHARE),
ours AS (
  SELECT c.consumer, c.partition FROM relay_cursors c JOIN moved m USING (consumer, partition) JOIN held h USING (partition)
   WHERE h.epoch = m.epoch ORDER BY c.consumer, c.partition FOR UPDATE OF c
)
UPDATE relay_cursors c
   SET xid = CASE WHEN (m.xid, m.seq) > (c.xid, c.seq) THEN m.xid ELSE c.xid END,
       seq = CASE WHEN (m.xid, m.seq) > (c.xid, c.seq) THEN m.seq ELSE c.seq END, handed_at = now()
  FROM moved m JOIN ours o USING (consumer, partition)
 WHERE c.consumer = m.consumer AND c.partition = m.partition
RETURNING c.consumer, c.partition`,
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
/** $1 consumers. */
const BACKLOG = {
  name: 'relay-backlog',
  text: `
SELECT c.consumer, sum(s.count)::int AS events,
       coalesce(max(extract(epoch FROM clock_timestamp() - s.oldest) * 1000), 0)::float8 AS age_ms
  FROM relay_cursors c
  LEFT JOIN consumer_positions a ON a.consumer = c.consumer AND a.partition = c.partition
  CROSS JOIN LATERAL (
    SELECT count(*) AS count, min(occurred_at) AS oldest
      FROM (SELECT occurred_at FROM events
             WHERE partition = c.partition AND (xid, seq) > (${AFTER_XID}, ${AFTER_SEQ})
             ORDER BY xid, seq LIMIT ${BACKLOG_COUNTED}) e
  ) s
 WHERE c.consumer = ANY ($1::text[])
 GROUP BY c.consumer`,
};
const APART = {
  name: 'relay-apart',
  text: `
SELECT m.consumer, count(*)::int AS apart, coalesce(max(extract(epoch FROM clock_timestamp() - s.oldest) * 1000), 0)::float8 AS age_ms
  FROM merchant_positions m
  LEFT JOIN LATERAL (
    SELECT occurred_at AS oldest FROM events WHERE merchant_id = m.merchant_id AND (xid, seq) > (m.xid, m.seq)
     ORDER BY xid, seq LIMIT 1) s ON true
 WHERE m.consumer = ANY ($1::text[])
 GROUP BY m.consumer`,
};

interface StretchRow extends Record<string, unknown> {
  consumer: string;
  partition: number;
  merchant_id: bigint | null;
  after_xid: bigint;
  after_seq: bigint;
  xid: bigint;
  seq: bigint;
  count: number;
  is_again: boolean;
  traces: string[];
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
    { batchSize, resendMs }: LookLimits,
  ): Promise<EventBatch[]> {
    return (await this.nextOf([{ consumer, batchSize }], partitions, resendMs)).get(consumer) ?? [];
  }

  /** The same for several at once. */
  async nextOf(
    targets: readonly { consumer: string; batchSize: number }[],
    partitions: readonly number[],
    resendMs: number,
  ): Promise<Map<string, EventBatch[]>> {
    const consumers = targets.map(({ consumer }) => consumer);
    const values = [consumers, partitions, targets.map(({ batchSize }) => batchSize), resendMs, tracingIsOn()];
    const rows = await this.#database.read<StretchRow>('relay', deadline(), { ...NEXT, values });
    const found = Map.groupBy(rows, ({ consumer }) => consumer);
    return new Map([...found].map(([consumer, its]) => [consumer, its.map(batchOf)]));
  }

  /** Records what has been dispatched. Returns the partitions that moved: those of a lost lease did not. */
  async move(consumer: string, handed: readonly Handed[], within?: Span): Promise<Set<number>> {
    return (await this.moveOf(new Map([[consumer, handed]]), within)).get(consumer) ?? new Set();
  }

  /** The same for several at once. */
  async moveOf(handed: ReadonlyMap<string, readonly Handed[]>, within?: Span): Promise<Map<string, Set<number>>> {
    const all = [...handed].flatMap(([consumer, its]) => its.map((one) => ({ consumer, ...one })));
    const values = [
      all.map(({ consumer }) => consumer),
      all.map(({ partition }) => partition),
      all.map(({ epoch }) => epoch),
      all.map(({ through }) => through.xid),
      all.map(({ through }) => through.seq),
    ];
    const until = deadline().under(within);
    const rows = await this.#database.write<{ consumer: string; partition: number }>('relay', until, {
      ...MOVE,
      values,
    });
    const moved = new Map([...handed.keys()].map((consumer) => [consumer, new Set<number>()]));
    for (const { consumer, partition } of rows) moved.get(consumer)?.add(partition);
    return moved;
  }

  /** Events held back by an open transaction count: they are what an operator wants to see. */
  async backlog(consumers: readonly string[]): Promise<Map<string, Backlog>> {
    const values = [consumers];
    const [backlogs, aparts] = await this.#database.transaction('relay', deadline(), async (client) => [
      (await client.query<BacklogRow>({ ...BACKLOG, values })).rows,
      (await client.query<BacklogRow>({ ...APART, values })).rows,
    ]);
    const of = (rows: readonly BacklogRow[] | undefined, name: string) => rows?.find((row) => row.consumer === name);
    return new Map(
      consumers.map((consumer) => {
        const [row, apart] = [of(backlogs, consumer), of(aparts, consumer)];
        const { events = 0, age_ms: ageMs = 0 } = row ?? {};
        return [consumer, { events, ageMs, apart: apart?.apart ?? 0, apartAgeMs: apart?.age_ms ?? 0 }];
      }),
    );
  }
}

/** Of one look. */
export interface LookLimits {
  /** Most events of a partition in a batch. */
  batchSize: number;
  resendMs: number;
}

/** What has been dispatched of a partition, and under which epoch of its lease. */
export interface Handed {
  partition: number;
  epoch: bigint;
  through: Position;
}

interface BacklogRow extends Record<string, unknown> {
  consumer: string;
  events?: number;
  apart?: number;
  age_ms: number;
}

function batchOf(row: StretchRow): EventBatch {
  return {
    partition: row.partition,
    ...(row.merchant_id === null ? {} : { merchantId: row.merchant_id }),
    after: { xid: row.after_xid, seq: row.after_seq },
    through: { xid: row.xid, seq: row.seq },
    count: row.count,
    isAgain: row.is_again,
    traces: [...new Set(row.traces)],
  };
}

function deadline(): Deadline {
  return Deadline.after(STATEMENT_DEADLINE_MS);
}
