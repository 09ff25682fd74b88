import pg from 'pg';
import { insertEvents } from '#outbox/log/append.js';
import { int8Array, textArray } from '#platform/binary-array.js';
import { answeredWithin } from '#platform/late.js';
import { allSettledThenThrow, connectionOptions, inOnePacket, isConnectionLoss } from '#platform/postgres.js';
import { finishInTurns, type Pieces } from '#platform/turns.js';
import { bindUncopied } from '#platform/uncopied-bind.js';
import { backDatedAdjustments } from '../accounts/back-dated-adjustments.js';
import { type KeyedBalance, selectBalances, toKeyedBalance } from '../accounts/balance-store.js';
import type { TransactionState, TransactionStatus } from '../posting/transaction.js';
import { amountsOf } from '../reading/transaction-store.js';
import type { GroupExtension, SqlValue } from './group-extension.js';
import {
  type AdjustmentRow,
  adjustmentParameters,
  type GroupWrites,
  groupParameters,
  holdTimers,
  newestStates,
  type StoredKey,
  stateParameters,
  timerQueries,
} from './group-parameters.js';

/**
 * All SQL of a commit group: two round trips on a connection that only the writer uses.
 * Trip 1 opens the transaction, locks the balances in sorted order and, behind the lock, looks up keys and states; trip 2
 * writes everything in one statement of data-modifying CTEs and commits.
 */

/** A row that a group touches, keyed by tenant. */
export interface TenantId {
  merchantId: bigint;
  id: bigint;
}

export interface StoredState extends TransactionState, TenantId {}

/** What a group is decided from. */
export interface LockedRows {
  balances: KeyedBalance[];
  keys: StoredKey[];
  states: StoredState[];
  /** What each extension looked up. */
  found: Map<GroupExtension, Record<string, unknown>[]>;
}

export interface LockedGroup extends LockedRows {
  /** Those whose lock was there in time. Of the others nothing was read, and nothing can be written. */
  merchantIds: bigint[];
}

/**
 * The planner settings matter: a generic plan made while idempotency_keys was young and empty scans every key of the
 * merchant, 2 ms a look-up and growing. All are transaction-local.
 */
const ENTER_GROUP = {
  name: 'enter-group',
  text: `SELECT set_config('counterfoil.merchant_ids', $1, true), set_config('statement_timeout', $2, true),
    set_config('idle_in_transaction_session_timeout', $2, true), set_config('plan_cache_mode', 'force_generic_plan', true),
    set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
    set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)`,
};

/** Sorted by the caller, as by everybody who locks several. */
const LOCK_MERCHANTS = { name: 'lock-merchants-within', text: 'SELECT lock_merchants_within($1, $2) AS locked' };

/** Sorted by the caller. Locks row by row in that order: two groups can never deadlock here. */
const LOCK_BALANCES = { name: 'lock-balances', text: selectBalances('b.*', 'FOR NO KEY UPDATE') };

const LOOK_UP_KEYS = {
  name: 'look-up-keys',
  text: `SELECT k.merchant_id, k.key, i.request_sha256, i.status, i.transaction_id, i.response
  FROM unnest($1::bigint[], $2::text[]) AS k (merchant_id, key)
  CROSS JOIN LATERAL (
    SELECT request_sha256, status, transaction_id, response
      FROM idempotency_keys WHERE merchant_id = k.merchant_id AND key = k.key LIMIT 1) AS i`,
};

const LOOK_UP_STATES = {
  name: 'look-up-states',
  text: `SELECT k.merchant_id, k.id, s.status, s.remaining, s.reversed, s.left_amounts::text
  FROM unnest($1::bigint[], $2::bigint[]) AS k (merchant_id, id)
  CROSS JOIN LATERAL (
    SELECT status, remaining, reversed, left_amounts
      FROM transaction_states WHERE merchant_id = k.merchant_id AND transaction_id = k.id LIMIT 1) AS s`,
};

const WRITE_GROUP = {
  name: 'write-group',
  text: `
WITH posted AS (
  INSERT INTO transactions (merchant_id, created_at, id, kind, type, amount, currency, external_ref, effective_at, parent_id,
                            expires_at, description, metadata, legs, ignored_floor)
  SELECT merchant_id, snowflake_time(id), id, kind, type, amount, currency, external_ref, effective_at, parent_id,
         expires_at, description, metadata::json, legs::bigint[], ignored_floor
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::timestamptz[],
                $9::bigint[], $10::timestamptz[], $11::text[], $12::text[], $13::text[], $14::boolean[])
      AS t (merchant_id, id, kind, type, amount, currency, external_ref, effective_at, parent_id, expires_at, description,
            metadata, legs, ignored_floor)
), lines AS (
  INSERT INTO entries (merchant_id, account_id, account_version, transaction_id, direction, currency, posted_amount,
                       pending_amount, posted_debits, posted_credits, pending_debits, pending_credits, effective_at, type)
  SELECT * FROM unnest($15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[], $19::smallint[], $20::text[], $21::bigint[],
                       $22::bigint[], $23::bigint[], $24::bigint[], $25::bigint[], $26::bigint[], $27::timestamptz[], $28::text[])
), told AS (${insertEvents(29)}
), kept AS (
  INSERT INTO idempotency_keys (merchant_id, key, request_sha256, status, transaction_id, response)
  SELECT merchant_id, key, request_sha256, status, transaction_id, response::json
    FROM unnest($35::bigint[], $36::text[], $37::bytea[], $38::smallint[], $39::bigint[], $40::text[])
      AS i (merchant_id, key, request_sha256, status, transaction_id, response)
), fenced AS (
  INSERT INTO write_fences (token) VALUES ($41::bigint)
), moved AS (
  UPDATE balances b
     SET posted_debits = n.posted_debits, posted_credits = n.posted_credits, pending_debits = n.pending_debits,
         pending_credits = n.pending_credits, version = n.version, last_transaction_id = n.last_transaction_id, closed = n.closed
    FROM unnest($42::bigint[], $43::bigint[], $44::bigint[], $45::bigint[], $46::bigint[], $47::bigint[], $48::bigint[],
                $49::bigint[], $50::boolean[])
      AS n (merchant_id, account_id, posted_debits, posted_credits, pending_debits, pending_credits, version,
            last_transaction_id, closed)
   WHERE b.merchant_id = n.merchant_id AND b.account_id = n.account_id
  RETURNING b.account_id
)
SELECT check_moved_balances(cardinality($42::bigint[]), count(*)) FROM moved`,
};

const WRITE_STATES = {
  name: 'write-states',
  text: `INSERT INTO transaction_states (merchant_id, transaction_id, status, remaining, reversed, left_amounts)
  SELECT merchant_id, transaction_id, status, remaining, reversed, left_amounts::bigint[]
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::text[])
      AS s (merchant_id, transaction_id, status, remaining, reversed, left_amounts)
  ON CONFLICT (merchant_id, transaction_id) DO UPDATE
    SET status = excluded.status, remaining = excluded.remaining, reversed = excluded.reversed,
        left_amounts = excluded.left_amounts`,
};

const WRITE_LATE_SUMS = {
  name: 'write-back-dated-adjustments',
  text: `INSERT INTO late_sums AS s (merchant_id, account_id, level, bucket, posted_debits, posted_credits, pending_debits, pending_credits,
                                newest_version)
  SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
                       $9::bigint[])
  ON CONFLICT (merchant_id, account_id, level, bucket) DO UPDATE
    SET posted_debits = s.posted_debits + excluded.posted_debits, posted_credits = s.posted_credits + excluded.posted_credits,
        pending_debits = s.pending_debits + excluded.pending_debits, pending_credits = s.pending_credits + excluded.pending_credits,
        newest_version = greatest(s.newest_version, excluded.newest_version)`,
};

/** How long the end of a transaction, and of a connection, is waited for. */
const LAST_ANSWER_MS = 1_500;

/** One connection of the writer. At most one group is in flight on it. */
export class GroupConnection {
  readonly #client: pg.Client;
  #broken = false;

  private constructor(client: pg.Client) {
    this.#client = client;
    // Losing the connection rejects the queries under way; without a listener the event would end the process.
    client.on('error', () => {
      this.#broken = true;
    });
    client.on('end', () => {
      this.#broken = true;
    });
  }

  static async open(url: string, timeoutMs: number): Promise<GroupConnection> {
    const client = new pg.Client({
      ...connectionOptions(url, 'counterfoil-writer'),
      connectionTimeoutMillis: timeoutMs,
      pipeline: true,
    } as pg.ClientConfig);
    const connection = new GroupConnection(client);
    bindUncopied((client as unknown as { connection: pg.Connection }).connection);
    await client.connect();
    return connection;
  }

  get broken(): boolean {
    return this.#broken;
  }

  /** PostgreSQL's process id of this connection: what `pg_terminate_backend` takes. */
  get processId(): number | null {
    return (this.#client as unknown as { processID: number | null }).processID;
  }

  /** Cuts the connection at once. A transaction whose COMMIT was not sent can then never commit. */
  destroy(): void {
    this.#broken = true;
    (this.#client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
  }

  async close(): Promise<void> {
    if (this.#broken) return;
    this.#broken = true;
    await this.#orCut(this.#client.end()).catch(() => undefined);
  }

  /** Trip 1. On an error the transaction is open and failed: call `rollback`. */
  async begin(group: {
    /** Sorted. */
    merchantIds: readonly bigint[];
    timeoutMs: number;
    /** How long to wait in all for merchants whose lock others hold. */
    lockWaitMs: number;
    /** Sorted by (merchantId, id). */
    accounts: readonly TenantId[];
    keys: readonly { merchantId: bigint; key: string }[];
    parents: readonly TenantId[];
    parts: ReadonlyMap<GroupExtension, readonly { merchantId: bigint; part: unknown }[]>;
  }): Promise<LockedGroup> {
    const { accounts, keys, parents } = group;
    const lookUps = [...group.parts].flatMap(([extension, parts]) =>
      extension.lookUp
        ? [{ extension, statement: { text: extension.lookUp.text, values: extension.lookUp.values(parts) } }]
        : [],
    );
    const [, , held, locked, known, stood, ...found] = await this.#pipeline(() => [
      this.#client.query('BEGIN'),
      this.#client.query(ENTER_GROUP, [`{${group.merchantIds.join(',')}}`, String(group.timeoutMs)]),
      this.#client.query(LOCK_MERCHANTS, [int8Array(group.merchantIds), group.lockWaitMs]),
      this.#client.query(LOCK_BALANCES, [
        int8Array(accounts.map((a) => a.merchantId)),
        int8Array(accounts.map((a) => a.id)),
      ]),
      keys.length === 0
        ? NOTHING
        : this.#client.query(LOOK_UP_KEYS, [
            int8Array(keys.map((k) => k.merchantId)),
            textArray(keys.map((k) => k.key)),
          ]),
      parents.length === 0
        ? NOTHING
        : this.#client.query(LOOK_UP_STATES, [
            int8Array(parents.map((p) => p.merchantId)),
            int8Array(parents.map((p) => p.id)),
          ]),
      ...lookUps.map(({ statement }) => this.#client.query(named(statement))),
    ]);
    return {
      merchantIds: held?.rows[0]?.locked ?? [],
      balances: (locked?.rows ?? []).map(toKeyedBalance),
      keys: (known?.rows ?? []).map(toKey),
      states: (stood?.rows ?? []).map(toState),
      found: new Map(lookUps.map(({ extension }, index) => [extension, found[index]?.rows ?? []])),
    };
  }

  /** Trip 2, COMMIT included. Rejects with `AmbiguousCommit` when the connection was lost before COMMIT was answered. */
  async writeAndCommit(writes: GroupWrites): Promise<void> {
    const states = newestStates(writes.states);
    const late = await finishInTurns(adjustmentRows(writes));
    const lates = late.length === 0 ? undefined : await finishInTurns(adjustmentParameters(late));
    const parameters = await finishInTurns(groupParameters(writes));
    const results = await this.#pipeline(
      () => [
        states.length === 0 ? NOTHING : this.#client.query(WRITE_STATES, stateParameters(states)),
        ...timerQueries([...holdTimers(states), ...writes.timers]).map((query) => this.#client.query(query)),
        lates ? this.#client.query(WRITE_LATE_SUMS, lates) : NOTHING,
        this.#client.query(WRITE_GROUP, parameters),
        ...writes.statements.map((statement) => this.#client.query(named(statement))),
        this.#client.query('COMMIT'),
      ],
      (error) => {
        if (this.#broken || isConnectionLoss(error) || !(error instanceof pg.DatabaseError))
          throw new AmbiguousCommit(error);
      },
    );
    const committed = results.at(-1);
    if (committed?.command !== 'COMMIT') throw new Error(`COMMIT was answered by ${committed?.command}`);
  }

  async rollback(): Promise<void> {
    await this.#orCut(this.#client.query('ROLLBACK'));
  }

  /** A server that does not answer never says that it has closed either. What is open on a connection that is cut is rolled back. */
  async #orCut<T>(last: Promise<T>): Promise<T> {
    return answeredWithin(LAST_ANSWER_MS, last, () => {
      this.destroy();
      return new Error(`PostgreSQL did not answer within ${LAST_ANSWER_MS} ms`);
    });
  }

  /**
   * Settles an ambiguous COMMIT: true when the group with this token committed, false when it now never can. A row that is
   * there already proves nothing by itself: it may be the one of an earlier question whose answer was lost.
   */
  async committed(token: bigint): Promise<boolean> {
    await this.#client.query(
      'INSERT INTO write_fences (token, voided) VALUES ($1, true) ON CONFLICT (token) DO NOTHING',
      [token],
    );
    const { rows } = await this.#client.query('SELECT voided FROM write_fences WHERE token = $1', [token]);
    if (rows.length === 0) throw new Error(`fence token ${token} was purged`);
    return !rows[0].voided;
  }

  /** Sends the queries as one packet and waits for all of them. */
  async #pipeline(
    send: () => Promise<pg.QueryResult>[],
    onError?: (error: unknown) => void,
  ): Promise<pg.QueryResult[]> {
    const sent = inOnePacket(this.#client, send);
    try {
      return await allSettledThenThrow(sent);
    } catch (error) {
      onError?.(error);
      throw error;
    }
  }
}

/** The connection was lost after COMMIT was sent: only the fence token can tell whether it committed. */
export class AmbiguousCommit extends Error {
  override name = 'AmbiguousCommit';
  constructor(cause: unknown) {
    super('the connection was lost before COMMIT was answered', { cause });
  }
}

const NOTHING: Promise<pg.QueryResult> = Promise.resolve({ command: '', rowCount: 0, oid: 0, fields: [], rows: [] });

/** Names of the extensions' statements, by their texts. Two that shared a name would be one that is never sent. */
const NAMES = new Map<string, string>();

function named(statement: { text: string; values: SqlValue[] }): pg.QueryConfig {
  let name = NAMES.get(statement.text);
  if (name === undefined) {
    name = `extension-${NAMES.size}`;
    NAMES.set(statement.text, name);
  }
  return { name, ...statement };
}

function toKey(row: Record<string, unknown>): StoredKey {
  return {
    merchantId: row.merchant_id as bigint,
    key: row.key as string,
    requestSha256: row.request_sha256 as Buffer,
    status: row.status as number,
    transactionId: row.transaction_id as bigint | null,
    response: row.response as string | null,
  };
}

function toState(row: Record<string, unknown>): StoredState {
  return {
    merchantId: row.merchant_id as bigint,
    id: row.id as bigint,
    status: row.status as TransactionStatus,
    remaining: row.remaining as bigint,
    reversed: row.reversed as bigint,
    left: amountsOf(row.left_amounts as string),
  };
}

function* adjustmentRows(writes: GroupWrites): Pieces<AdjustmentRow[]> {
  const rows: AdjustmentRow[] = [];
  for (const [merchantId, written] of Map.groupBy(writes.transactions, (one) => one.merchantId)) {
    const sums = yield* backDatedAdjustments(written.map(({ transaction }) => transaction));
    for (const sum of sums) rows.push({ ...sum, merchantId });
  }
  // Two groups may share an account only one after the other (its balance is locked), so any order is free of deadlocks.
  return rows;
}
