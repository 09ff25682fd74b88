import pg from 'pg';
import type { LoggedEvent } from '#outbox/consumers/consumer.js';
import { LOGGED_COLUMNS, type LoggedRow, loggedEvent } from '#outbox/log/event-log.js';
import type { Position } from '#outbox/log/position.js';
import { Deadline } from '#platform/deadline.js';
import { type Database, enterScope, type TransactionClient } from '#platform/postgres.js';

const STATEMENT_MS = 10_000;
const PURGED_AT_ONCE = 5_000;

/** $1 projection, $2 milliseconds. Numbers are never given twice: what an attempt left behind stands apart from all others. */
const CLAIM = `
UPDATE projections SET newest_generation = newest_generation + 1, claimed_until = now() + $2::int * interval '1 millisecond'
 WHERE name = $1 AND claimed_until < now() RETURNING generation AS served, newest_generation AS own`;
/** $1 projection, $2 own generation, $3 milliseconds from now, 0: given up. */
const RENEW = `
UPDATE projections SET claimed_until = now() + $3::int * interval '1 millisecond' WHERE name = $1 AND newest_generation = $2`;
/** $1 projection, $2 own generation. Locks the row until the end of the transaction. */
const CHECK_CLAIM = 'SELECT FROM projections WHERE name = $1 AND newest_generation = $2 FOR UPDATE';

/** $1 pattern of the consumers of attempts. Without a position nobody can commit an effect: earlier attempts end here. */
const FORGET_ATTEMPTS = 'DELETE FROM consumer_positions WHERE consumer ~ $1';
/**
 * The same where nobody is at work: the row of a claim that ran out is locked, so that no attempt begins meanwhile. One that only
 * slept finds its position gone.
 */
const FORGET_ABANDONED = `
WITH idle AS (SELECT name FROM projections WHERE claimed_until < now() ORDER BY name FOR UPDATE)
DELETE FROM consumer_positions p USING idle WHERE p.consumer ~ ('^' || idle.name || '_[0-9]+$')`;
const BEGIN_AT_BEGINNING =
  'INSERT INTO consumer_positions (consumer, partition) SELECT $1, partition FROM relay_partitions';

/** $1 live consumer, $2 own. In the scope `relay`. No further than a merchant that goes apart from its partition has come. */
const BEHIND = `
SELECT o.partition, l.xid, l.seq FROM consumer_positions o CROSS JOIN LATERAL (
  SELECT xid, seq FROM (
    SELECT xid, seq FROM consumer_positions WHERE consumer = $1 AND partition = o.partition
    UNION ALL SELECT xid, seq FROM merchant_positions WHERE consumer = $1 AND partition = o.partition) p
   ORDER BY xid, seq LIMIT 1) l
 WHERE o.consumer = $2 AND (o.xid, o.seq) < (l.xid, l.seq) ORDER BY o.partition`;

/**
 * $1 live consumer. Who applies events or carries out a redrive holds one of these rows to the end of its transaction, also for a merchant
 * that goes apart (FOR KEY SHARE).
 */
const LOCK_LIVE = 'SELECT FROM consumer_positions WHERE consumer = $1 ORDER BY partition FOR UPDATE';

/** $1 live consumer, $2 own, $3 limit. In the scope `relay`. What a merchant that goes apart has yet to come to is applied by its turns. */
const REST = `
SELECT ${LOGGED_COLUMNS} FROM consumer_positions l JOIN consumer_positions o USING (partition)
 CROSS JOIN LATERAL (
   SELECT * FROM events ev WHERE partition = l.partition AND (xid, seq) > (o.xid, o.seq) AND (xid, seq) <= (l.xid, l.seq)
      AND NOT EXISTS (SELECT FROM merchant_positions m WHERE m.merchant_id = ev.merchant_id AND m.consumer = $1
                         AND (m.xid, m.seq) < (ev.xid, ev.seq))
    ORDER BY xid, seq LIMIT $3) e
 WHERE l.consumer = $1 AND o.consumer = $2 AND (o.xid, o.seq) < (l.xid, l.seq) LIMIT $3`;

/** $1 live consumer, then arrays: $2 merchants, $3 xids, $4 seqs. In the scope `relay`. */
const REDRIVEN = `
SELECT ${LOGGED_COLUMNS} FROM unnest($2::bigint[], $3::xid8[], $4::bigint[]) AS p (m, x, s)
  JOIN dead_letters d ON d.merchant_id = p.m AND d.consumer = $1 AND d.xid = p.x AND d.seq = p.s AND d.status = 'redriven'
  JOIN events e ON e.merchant_id = p.m AND e.xid = p.x AND e.seq = p.s`;

/** $1 consumer, $2 $3 from, $4 $5 to. Of the scope's merchants. */
const NOT_APPLIED = {
  name: 'letters-not-applied',
  text: `
SELECT merchant_id, xid, seq FROM dead_letters
 WHERE consumer = $1 AND (xid, seq) >= ($2::xid8, $3::bigint) AND (xid, seq) <= ($4::xid8, $5::bigint) AND status <> 'redriven'`,
};

/** $1 merchants, $2 first generation, $3 the one after the last, $4 limit. */
const PURGE = `
DELETE FROM daily_summaries WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM daily_summaries WHERE merchant_id = ANY ($1::bigint[]) AND generation >= $2 AND generation < $3 LIMIT $4))`;

/** An event's place, which names it. */
export interface EventKey extends Position {
  readonly merchantId: bigint;
}

export interface Names {
  projection: string;
  /** The consumer whose work is served. */
  live: string;
  /** The consumer under which the rebuild keeps its positions. */
  own: string;
}

/** All SQL of a rebuild. */
export class RebuildStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Whether any event has been forgotten: then the log can no longer be folded from its beginning. */
  async hasForgotten(): Promise<boolean> {
    const query = { text: 'SELECT 1 FROM event_horizons LIMIT 1' };
    return (await this.#database.read('relay', Deadline.after(STATEMENT_MS), query)).length > 0;
  }

  /** Undefined: another rebuild is at work. */
  async claim(projection: string, claimMs: number): Promise<{ served: number; own: number } | undefined> {
    const { rows } = await this.#transaction((client) =>
      client.query<{ served: number; own: number }>({ text: CLAIM, values: [projection, claimMs] }),
    );
    return rows[0];
  }

  /** Returns whether the claim is still ours. `claimMs` 0 gives it up. */
  async renew(projection: string, own: number, claimMs: number): Promise<boolean> {
    const { rowCount } = await this.#transaction((client) =>
      client.query({ text: RENEW, values: [projection, own, claimMs] }),
    );
    return rowCount === 1;
  }

  /** Ends what earlier attempts may still be doing, and begins at the beginning of the log. */
  async begin({ projection, own }: Names, generation: number): Promise<void> {
    await this.#transaction(async (client) => {
      await checkClaim(client, projection, generation);
      await client.query({ text: FORGET_ATTEMPTS, values: [`^${projection}_[0-9]+$`] });
      await client.query({ text: BEGIN_AT_BEGINNING, values: [own] });
    });
  }

  /** Partitions in which the live consumer is ahead, and where it stands. */
  async behind({ live, own }: Names): Promise<{ partition: number; through: Position }[]> {
    const { rows } = await this.#transaction((client) =>
      client.query<Position & { partition: number }>({ text: BEHIND, values: [live, own] }),
    );
    return rows.map(({ partition, xid, seq }) => ({ partition, through: { xid, seq } }));
  }

  /** Deletes generations from `first` to the one before `end`, of these merchants. */
  async purge(merchantIds: readonly bigint[], { first, end }: { first: number; end: number }): Promise<void> {
    for (let deleted = PURGED_AT_ONCE; deleted === PURGED_AT_ONCE; ) {
      const { rowCount } = await this.#database.transaction({ merchantIds }, Deadline.after(STATEMENT_MS), (client) =>
        client.query({ text: PURGE, values: [merchantIds, first, end, PURGED_AT_ONCE] }),
      );
      deleted = rowCount ?? 0;
    }
  }

  #transaction<T>(work: (client: TransactionClient) => Promise<T>): Promise<T> {
    return this.#database.transaction('relay', Deadline.after(STATEMENT_MS), work);
  }
}

/** Forgets the positions of rebuilds that failed or were killed: the log's retention would wait for them for ever. */
export async function endAbandonedRebuilds(database: Database): Promise<void> {
  await database.transaction('relay', Deadline.after(STATEMENT_MS), (client) =>
    client.query({ text: FORGET_ABANDONED }),
  );
}

/** Throws when another rebuild has taken over. Locks the claim until the end of the transaction. */
export async function checkClaim(client: TransactionClient, projection: string, own: number): Promise<void> {
  const { rowCount } = await client.query({ text: CHECK_CLAIM, values: [projection, own] });
  if (rowCount !== 1) throw new Error('another rebuild has taken over');
}

/** The live consumer stands still until the end of the transaction. Fails with 55P03 when it is busy for longer than `waitMs`. */
export async function lockLive(client: TransactionClient, live: string, waitMs: number): Promise<void> {
  await client.query({ text: `SELECT set_config('lock_timeout', $1, true)`, values: [String(waitMs)] });
  await client.query({ text: LOCK_LIVE, values: [live] });
}

export function isLockTimeout(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '55P03';
}

/** What the live consumer has applied and the rebuild has not, in the log's order within partitions. */
export async function readRest(client: TransactionClient, { live, own }: Names, limit: number): Promise<LoggedEvent[]> {
  return (await client.query<LoggedRow>({ text: REST, values: [live, own, limit] })).rows.map(loggedEvent);
}

/** Those of the events that have been redriven meanwhile. */
export async function readRedriven(
  client: TransactionClient,
  live: string,
  keys: readonly EventKey[],
): Promise<LoggedEvent[]> {
  const values = [
    live,
    keys.map(({ merchantId }) => merchantId),
    keys.map(({ xid }) => xid),
    keys.map(({ seq }) => seq),
  ];
  return (await client.query<LoggedRow>({ text: REDRIVEN, values })).rows.map(loggedEvent);
}

/** Events between these two places that the consumer has left as dead letters, and not applied since. Of the scope's merchants. */
export async function lettersNotApplied(
  client: TransactionClient,
  consumer: string,
  { from, to }: { from: Position; to: Position },
): Promise<EventKey[]> {
  const { rows } = await client.query<Position & { merchant_id: bigint }>({
    ...NOT_APPLIED,
    values: [consumer, from.xid, from.seq, to.xid, to.seq],
  });
  return rows.map(({ merchant_id: merchantId, xid, seq }) => ({ merchantId, xid, seq }));
}

export async function serve(client: TransactionClient, { projection, own }: Names, generation: number): Promise<void> {
  await client.query({
    text: 'UPDATE projections SET generation = $2 WHERE name = $1',
    values: [projection, generation],
  });
  await client.query({ text: 'DELETE FROM consumer_positions WHERE consumer = $1', values: [own] });
}

/** Binds the transaction to the merchants of these events. */
export async function enterMerchantsOf(
  client: TransactionClient,
  events: readonly LoggedEvent[],
  deadline: Deadline,
): Promise<void> {
  const merchantIds = [...new Set(events.map(({ merchantId }) => merchantId))];
  await client.query(enterScope({ merchantIds }, deadline));
}
