import type pg from 'pg';
import type { TransactionClient } from '#platform/postgres.js';
import type { Position } from '../log/position.js';

/** Somebody else has taken the claim, after ours had run out: what we were about to commit is rolled back. */
export class ClaimLost extends Error {
  override name = 'ClaimLost';
}

export interface Claim {
  readonly position: Position;
  /** Tries since the position last moved, this one included. */
  readonly tries: number;
  readonly lastError: string | undefined;
  /** Up to here events are applied one by one. */
  readonly oneByOneThrough: Position;
}

/** A claim of the claimant's own that ran out: its process lives, so that only the database can have kept it from recording the end. */
const OWN_EXPIRED = 'claimed_by = $3 AND claimed_until > to_timestamp(0)';
const FAILED = `tries > CASE WHEN ${OWN_EXPIRED} THEN 1 ELSE 0 END`;

/** Statements about the row of `table` whose consumer is $1 and whose `key` is $2. `stands`: what must hold for an effect beside the claim. */
function statementsOf(table: string, key: string, stands = 'true') {
  const named = (name: string, text: string) => ({ name: `${table}-${name}`, text });
  return {
    /**
     * $3 claimant, $4 milliseconds, $5 $6 through. The try is counted before it is made, so that one which ends the process
     * counts as well; after the first failure the batch is gone through event by event.
     */
    claim: named(
      'claim',
      `
UPDATE ${table}
   SET claimed_by = $3, claimed_until = now() + $4::int * interval '1 millisecond', tries = tries + CASE WHEN ${OWN_EXPIRED} THEN 0 ELSE 1 END,
       careful_xid = CASE WHEN ${FAILED} AND (careful_xid, careful_seq) <= (xid, seq) THEN $5::xid8 ELSE careful_xid END,
       careful_seq = CASE WHEN ${FAILED} AND (careful_xid, careful_seq) <= (xid, seq) THEN $6::bigint ELSE careful_seq END
 WHERE consumer = $1 AND ${key} = $2 AND claimed_until < now() AND (xid, seq) < ($5::xid8, $6::bigint)
RETURNING xid, seq, tries, last_error, careful_xid, careful_seq`,
    ),
    /** The same for whoever only wants it to stand still. */
    hold: named(
      'hold',
      `
UPDATE ${table} SET claimed_by = $3, claimed_until = now() + $4::int * interval '1 millisecond'
 WHERE consumer = $1 AND ${key} = $2 AND (claimed_until < now() OR claimed_by = $3) AND ${stands}
RETURNING xid, seq`,
    ),
    /** $3 claimant, $4 milliseconds of a further claim (and try), 0: none; $5 $6 from, $7 $8 to. */
    move: named(
      'move',
      `
UPDATE ${table}
   SET xid = $7, seq = $8, last_error = NULL, tries = CASE WHEN $4::int > 0 THEN 1 ELSE 0 END,
       claimed_until = CASE WHEN $4::int > 0 THEN now() + $4::int * interval '1 millisecond' ELSE to_timestamp(0) END
 WHERE consumer = $1 AND ${key} = $2 AND claimed_by = $3 AND xid = $5 AND seq = $6 AND ${stands}`,
    ),
    /** $4 error, $5 whether the try counts. */
    fail: named(
      'fail',
      `
UPDATE ${table}
   SET claimed_until = to_timestamp(0), last_error = $4, tries = CASE WHEN $5 THEN tries ELSE greatest(tries - 1, 0) END
 WHERE consumer = $1 AND ${key} = $2 AND claimed_by = $3`,
    ),
    release: named(
      'release',
      `UPDATE ${table} SET claimed_until = to_timestamp(0) WHERE consumer = $1 AND ${key} = $2 AND claimed_by = $3`,
    ),
    read: named('read', `SELECT xid, seq FROM ${table} WHERE consumer = $1 AND ${key} = $2`),
  };
}

const OF_PARTITION = statementsOf('consumer_positions', 'partition');
/**
 * Whoever locks a consumer's positions, as a rebuild does before it is served, keeps those from moving as well that lie apart. A partition
 * that merely moves on does not: a key that does not change.
 */
const OF_MERCHANT = statementsOf(
  'merchant_positions',
  'merchant_id',
  `EXISTS (SELECT FROM consumer_positions WHERE consumer = $1 AND partition = partition_of($2) FOR KEY SHARE)`,
);

interface Row extends pg.QueryResultRow {
  xid: bigint;
  seq: bigint;
}
interface ClaimRow extends Row {
  tries: number;
  last_error: string | null;
  careful_xid: bigint;
  careful_seq: bigint;
}

/** Whose position: a partition's, or, in its scope, that of a merchant which goes apart from it. */
export type Whose = { readonly partition: number } | { readonly merchantId: bigint };

/** How far a consumer has applied one partition, or one merchant's events, and who may move that. One object per claimant. */
export class ConsumerPosition {
  readonly #key: readonly [string, number | bigint, string];
  readonly #claimMs: number;
  readonly #sql: ReturnType<typeof statementsOf>;

  constructor(consumer: string, whose: Whose, claimant: string, claimMs: number) {
    const [sql, key] = 'partition' in whose ? [OF_PARTITION, whose.partition] : [OF_MERCHANT, whose.merchantId];
    this.#sql = sql;
    this.#key = [consumer, key, claimant];
    this.#claimMs = claimMs;
  }

  async read(client: TransactionClient): Promise<Position | undefined> {
    const { rows } = await client.query<Row>({ ...this.#sql.read, values: this.#key.slice(0, 2) });
    return rows[0] && { xid: rows[0].xid, seq: rows[0].seq };
  }

  /** Undefined: somebody else has it, or there is nothing to do up to there. */
  async claim(client: TransactionClient, through: Position): Promise<Claim | undefined> {
    const values = [...this.#key, this.#claimMs, through.xid, through.seq];
    const [row] = (await client.query<ClaimRow>({ ...this.#sql.claim, values })).rows;
    return (
      row && {
        position: { xid: row.xid, seq: row.seq },
        tries: row.tries,
        lastError: row.last_error ?? undefined,
        oneByOneThrough: { xid: row.careful_xid, seq: row.careful_seq },
      }
    );
  }

  /** Takes or prolongs a claim without a try; answers where the position stands. Throws ClaimLost when others have it. */
  async hold(client: TransactionClient): Promise<Position> {
    const [row] = (await client.query<Row>({ ...this.#sql.hold, values: [...this.#key, this.#claimMs] })).rows;
    if (!row) throw new ClaimLost('another process is at work here');
    return { xid: row.xid, seq: row.seq };
  }

  /** Part of the effect's transaction: locks the position until its end. `goesOn`: the next try begins with this commit. */
  async move(client: TransactionClient, from: Position, to: Position, goesOn: boolean): Promise<void> {
    const values = [...this.#key, goesOn ? this.#claimMs : 0, from.xid, from.seq, to.xid, to.seq];
    const { rowCount } = await client.query({ ...this.#sql.move, values });
    if (rowCount !== 1) throw new ClaimLost('another process has taken over');
  }

  async fail(client: TransactionClient, error: string, counts: boolean): Promise<void> {
    await client.query({ ...this.#sql.fail, values: [...this.#key, error, counts] });
  }

  async release(client: TransactionClient): Promise<void> {
    await client.query({ ...this.#sql.release, values: [...this.#key] });
  }
}
