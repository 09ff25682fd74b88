import type { Span } from '@opentelemetry/api';
import type { EventBatch } from '#outbox/log/position.js';
import type { RelayTarget } from '#outbox/relay/relay.js';
import { int2Array, int8Array } from '#platform/binary-array.js';
import { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import type { CacheClient } from './cache-client.js';

/**
 * Events of one hand-over and partition; 64 of these are one statement, far from its deadline also on a busy machine. Their
 * accounts go to Redis in calls of a hundred.
 */
const BATCH_SIZE = 200;
const DEADLINE_MS = 5_000;

/**
 * Arrays: $1 partitions, $2 $3 after, $4 $5 through. Newest version of each account. Every version of a transaction's
 * event names its entries' accounts and versions alike, so that none has to be upcast here.
 */
const NEWEST_VERSIONS = {
  name: 'newest-versions',
  text: `
SELECT e.merchant_id, entry.account_id, max(entry.account_version) AS version
  FROM unnest($1::smallint[], $2::xid8[], $3::bigint[], $4::xid8[], $5::bigint[]) AS s (partition, after_xid, after_seq, xid, seq)
  CROSS JOIN LATERAL (
    SELECT merchant_id, data FROM events
     WHERE partition = s.partition AND (xid, seq) > (s.after_xid, s.after_seq) AND (xid, seq) <= (s.xid, s.seq)
       AND type LIKE 'transaction.%'
     ORDER BY xid, seq LIMIT ${BATCH_SIZE}) e
  CROSS JOIN LATERAL json_to_recordset(e.data->'entries') AS entry (account_id bigint, account_version bigint)
 GROUP BY e.merchant_id, entry.account_id`,
};

/**
 * Invalidates in the cache, straight from the log, every change that any process or job has committed. For freshness only: the
 * promise holds without it (invalidate before answering), and it bounds what a writer that was cut off from Redis leaves behind.
 */
export class BalanceInvalidation implements RelayTarget {
  static readonly CONSUMER = 'balances';
  readonly consumer = BalanceInvalidation.CONSUMER;
  // What the cache holds now was read from the database; older events would invalidate nothing.
  readonly from = 'now';
  readonly keepsPosition = false;
  readonly batchSize = BATCH_SIZE;
  readonly #client: CacheClient;
  readonly #database: Database;
  readonly #ttlMs: number;

  constructor(client: CacheClient, database: Database, options: { ttlMs: number }) {
    this.#client = client;
    this.#database = database;
    this.#ttlMs = options.ttlMs;
  }

  async dispatch(batches: readonly EventBatch[], within?: Span): Promise<void> {
    const rows = await this.#database.read<{ merchant_id: bigint; account_id: bigint; version: bigint }>(
      'relay',
      Deadline.after(DEADLINE_MS).under(within),
      {
        ...NEWEST_VERSIONS,
        values: [
          int2Array(batches.map(({ partition }) => partition)),
          batches.map(({ after }) => after.xid),
          int8Array(batches.map(({ after }) => after.seq)),
          batches.map(({ through }) => through.xid),
          int8Array(batches.map(({ through }) => through.seq)),
        ],
      },
    );
    await this.#client.run(
      rows.map(({ merchant_id, account_id, version }) => ({
        script: 'invalidate' as const,
        account: { merchantId: merchant_id, accountId: account_id },
        args: [version, this.#ttlMs],
      })),
      Infinity,
      within,
    );
  }
}
