import pg from 'pg';
import { ProblemError } from '#kernel/problem.js';
import { ConnectionTurns, type Holder } from './connection-turns.js';
import type { Cost } from './cost.js';
import { type Deadline, deadlineExceeded } from './deadline.js';
import { tracedClient, tracedQuery } from './query-spans.js';
import { type Found, foundOf, type Search, searchQuery } from './search.js';
import { step } from './tracing.js';

/**
 * Whose rows a transaction may see: exactly these merchants'; `platform`: the list of merchants itself, and their dead
 * letters; `relay`: the events of all merchants, to read. `platform: true`: what the platform may see besides. `walks`: what it
 * reads in order is read by an index in that order.
 */
export type Scope = { merchantIds: readonly bigint[]; platform?: true; walks?: boolean } | 'platform' | 'relay';

export interface Query {
  /** Named statements are prepared once per connection. */
  name?: string;
  text: string;
  values?: unknown[];
}

/** Whose rows are searched, until when, and who counts them. */
export interface SearchBounds {
  readonly merchantId: bigint;
  readonly deadline: Deadline;
  readonly cost: Cost;
}

/** How long a statement may run on after its caller's deadline, so that PostgreSQL and not the socket ends it. */
const SERVER_GRACE_MS = 50;
/** Spans of what comes before a statement. */
const WAIT = 'wait for a connection';
const CONNECT = 'connect to postgresql';
const RETRIABLE = new Set(['40001', '40P01']);
/** Classes and codes of SQLSTATE: the server cannot be reached, has no room, or has ended the session. */
const UNAVAILABLE = ['08', '25P03', '25P04', '53', '57P', '58'];
const UNAVAILABLE_ERRNOS = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOENT', 'EHOSTUNREACH']);

// int8 becomes bigint once, here; timestamptz becomes milliseconds since 1970.
const types = new pg.TypeOverrides();
types.setTypeParser(pg.types.builtins.INT8, (text) => BigInt(text));
types.setTypeParser(pg.types.builtins.TIMESTAMPTZ, (text) => parseTimestamp(text));
types.setTypeParser(pg.types.builtins.JSON, (text) => text);
types.setTypeParser(1016, (text) =>
  text
    .slice(1, -1)
    .split(',')
    .filter((item) => item !== '')
    .map(BigInt),
); // int8[]
types.setTypeParser(5069, (text) => BigInt(text)); // xid8

let newestText: string | undefined;
let newestMs = 0;

/**
 * `2026-11-21 17:09:00.123+00` → milliseconds, `-infinity` → -Infinity. Connections run with TimeZone UTC and the ISO DateStyle. A
 * page has one or two in each row, and what was written together has the same one.
 */
export function parseTimestamp(text: string): number {
  if (text !== newestText) {
    newestMs = timestampOf(text);
    newestText = text;
  }
  return newestMs;
}

function timestampOf(text: string): number {
  if (text.endsWith('infinity')) return text.startsWith('-') ? -Infinity : Infinity;
  return Date.parse(`${text.slice(0, 10)}T${text.slice(11).replace('+00', 'Z')}`);
}

export function connectionOptions(url: string, applicationName: string): pg.ClientConfig {
  return {
    connectionString: url,
    application_name: applicationName,
    types,
    keepAlive: true,
    options: '-c TimeZone=UTC -c DateStyle=ISO -c jit=off',
  };
}

/**
 * Settings that bind one transaction to its tenants and its deadline: also where its process is stopped in the middle, and
 * its locks and its xmin would hold up everybody. Log and searches are read by their indexes: a planner that expects few rows behind
 * a position, or is asked for many, would fetch and sort all there are. All are transaction-local: safe behind a pooler.
 */
const ENTER = `SELECT set_config('counterfoil.merchant_ids', $1, true), set_config('counterfoil.platform', $2, true),
  set_config('statement_timeout', $3, true), set_config('idle_in_transaction_session_timeout', $3, true),
  set_config('enable_sort', $4, true)`;

/**
 * What relay and consumers write can be made again from the log: effect and position are lost together, or neither. So their
 * commits need not wait for the disk.
 */
const ENTER_RELAY = `${ENTER}, set_config('synchronous_commit', 'off', true), set_config('counterfoil.leaves_apart', 'on', true)`;

const SETTINGS = { platform: 'on', relay: 'relay' } as const;

export function enterScope(scope: Scope, deadline: Deadline): Query {
  const [merchants, platform] =
    typeof scope === 'string'
      ? ['', SETTINGS[scope]]
      : [`{${scope.merchantIds.join(',')}}`, scope.platform ? SETTINGS.platform : ''];
  const timeoutMs = Math.ceil(deadline.remainingMs) + SERVER_GRACE_MS;
  const [name, text] = scope === 'relay' ? ['enter-relay', ENTER_RELAY] : ['enter-scope', ENTER];
  const walks = scope === 'relay' || (typeof scope === 'object' && scope.walks);
  return { name, text, values: [merchants, platform, String(timeoutMs), walks ? 'off' : 'on'] };
}

/** What is sent meanwhile goes out at its end, in one write: each one by itself is a system call here and a wake-up there. */
export function inOnePacket<T>(client: pg.ClientBase, send: () => T): T {
  const { stream } = (client as unknown as { connection: { stream: { cork(): void; uncork(): void } } }).connection;
  stream.cork();
  try {
    return send();
  } finally {
    stream.uncork();
  }
}

export interface TransactionClient {
  query<Row extends pg.QueryResultRow>(query: Query): Promise<pg.QueryResult<Row>>;
}

export interface DatabaseOptions {
  poolSize: number;
  /** Connections that one merchant may have at once; all of them, when it is not given. */
  merchantConnections?: number;
  /** How long a connection may take, the wait for a free one included. */
  connectTimeoutMs: number;
  applicationName: string;
  /** A merchant's share among those that wait. */
  weightOf?: (merchantId: bigint) => number;
}

/** A bounded pool of connections as the runtime role. Every statement runs in a transaction that names its tenants. */
export class Database {
  readonly #pool: pg.Pool;
  readonly #turns: ConnectionTurns;
  readonly #connectTimeoutMs: number;
  readonly size: number;

  constructor(url: string, options: DatabaseOptions) {
    const { poolSize, merchantConnections = poolSize, connectTimeoutMs, weightOf = () => 1 } = options;
    this.#turns = new ConnectionTurns({ size: poolSize, perMerchant: merchantConnections, weightOf });
    this.#connectTimeoutMs = connectTimeoutMs;
    this.size = poolSize;
    this.#pool = new pg.Pool({
      ...connectionOptions(url, options.applicationName),
      max: poolSize,
      connectionTimeoutMillis: connectTimeoutMs,
      idleTimeoutMillis: 60_000,
      pipeline: true,
    } as pg.PoolConfig);
    // An idle connection that the server closes must not end the process; the next checkout opens a new one.
    this.#pool.on('error', () => undefined);
    // Nor must one that is lost while in use: the pool listens to idle ones only, and the query under way tells its caller.
    this.#pool.on('connect', (client) => client.on('error', () => undefined));
  }

  /** One read in one round trip: BEGIN, scope, the query and COMMIT are sent together. */
  read<Row extends pg.QueryResultRow>(scope: Scope, deadline: Deadline, query: Query): Promise<Row[]> {
    return this.#inOneTrip('BEGIN READ ONLY', scope, deadline, query);
  }

  /**
   * The same of a list. One that tests rows beside its index may look at far more than it finds: at so many as its request may, and
   * those are counted.
   */
  async search<Row extends pg.QueryResultRow, Place>(
    { merchantId, deadline, cost }: SearchBounds,
    search: Search,
    placeOf: (row: Row) => Place,
  ): Promise<Found<Row, Place>> {
    const most = cost.mayLookAt;
    const scope = { merchantIds: [merchantId], walks: search.tests.length > 0 };
    const rows = await this.read<Row>(scope, deadline, searchQuery(search, most));
    return foundOf(rows, { cost, most, placeOf });
  }

  /** One statement that writes, likewise: what belongs together has to be in it. Resolves with its rows. */
  write<Row extends pg.QueryResultRow>(scope: Scope, deadline: Deadline, query: Query): Promise<Row[]> {
    return this.#inOneTrip('BEGIN', scope, deadline, query);
  }

  /** Several statements in one transaction; rolled back when `work` throws. Runs `work` once: retrying is the caller's. */
  transaction<T>(scope: Scope, deadline: Deadline, work: (client: TransactionClient) => Promise<T>): Promise<T> {
    return this.#transaction('BEGIN', scope, deadline, work);
  }

  /** Several statements that read the same moment. However long it takes, it has no xid, so that nobody's horizon waits for it. */
  snapshot<T>(scope: Scope, deadline: Deadline, work: (client: TransactionClient) => Promise<T>): Promise<T> {
    return this.#transaction('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY', scope, deadline, work);
  }

  /** Open ones. */
  get connections(): { in_use: number; idle: number } {
    const { totalCount, idleCount } = this.#pool;
    return { in_use: totalCount - idleCount, idle: idleCount };
  }

  get waiting(): number {
    return this.#turns.waiting + this.#pool.waitingCount;
  }

  /** This pool as TypeORM takes its driver, in place of `pg`: it opens no pool beside it, and does not close it. */
  get typeormDriver(): object {
    const pool = this.#pool;
    class Pool {
      connect = pool.connect.bind(pool);
      on = pool.on.bind(pool);
      end = (done: () => void): void => done();
    }
    return { Pool };
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }

  async #transaction<T>(
    begin: string,
    scope: Scope,
    deadline: Deadline,
    work: (client: TransactionClient) => Promise<T>,
  ): Promise<T> {
    return this.#withClient(scope, deadline, async (connection) => {
      const client = tracedClient(connection, deadline.span);
      const enter = enterScope(scope, deadline);
      const begun = () => allSettledThenThrow([connection.query(begin), connection.query(enter)]);
      try {
        // What `work` asks first goes with BEGIN: a round trip less. Where that fails, so does whatever follows, and its error is the one to tell.
        const entering = () => [tracedQuery(deadline.span, enter, begun), (async () => work(client))()] as const;
        const [entered, worked] = inOnePacket(connection, entering);
        await allSettledThenThrow<unknown>([entered, worked]);
        const { command } = await client.query({ text: 'COMMIT' });
        if (command !== 'COMMIT') throw new Error(`COMMIT was answered by ${command}`);
        return await worked;
      } catch (error) {
        await client.query({ text: 'ROLLBACK' }).catch(() => undefined);
        throw error;
      }
    });
  }

  async #inOneTrip<Row extends pg.QueryResultRow>(
    begin: string,
    scope: Scope,
    deadline: Deadline,
    query: Query,
  ): Promise<Row[]> {
    const inTrip = async (client: pg.PoolClient) => {
      const sent = inOnePacket(client, () => [
        client.query(begin),
        client.query(enterScope(scope, deadline)),
        client.query<Row>(query),
        client.query('COMMIT'),
      ]);
      const [, , result] = await allSettledThenThrow(sent);
      return result as pg.QueryResult<Row>;
    };
    const { rows } = await this.#withClient(scope, deadline, (client) =>
      tracedQuery(deadline.span, query, () => inTrip(client)),
    );
    return rows;
  }

  /** In the turn of whoever it is for. */
  async #withClient<T>(scope: Scope, deadline: Deadline, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    if (deadline.expired) throw deadlineExceeded();
    const holder = holderOf(scope);
    const patience = deadline.within(this.#connectTimeoutMs);
    const [busy, away] =
      deadline.remainingMs <= this.#connectTimeoutMs ? [deadlineExceeded, deadlineExceeded] : [allBusy, noConnection];
    if (!this.#turns.tryEnter(holder)) {
      await step(deadline.span, WAIT, {}, () => this.#turns.enter(holder, patience, busy));
    }
    try {
      // An idle one is there at once.
      const connecting = this.#pool.idleCount > 0 ? undefined : deadline.span;
      const client = await step(connecting, CONNECT, {}, () => this.#connect(patience, away));
      return await this.#onClient(client, deadline, work);
    } finally {
      this.#turns.leave(holder);
    }
  }

  async #connect(patience: Deadline, onExpiry: () => Error): Promise<pg.PoolClient> {
    const checkout = this.#pool.connect();
    try {
      return await patience.race(checkout, onExpiry);
    } catch (error) {
      checkout.then(
        (late) => late.release(),
        () => undefined,
      );
      throw translateError(error);
    }
  }

  async #onClient<T>(
    client: pg.PoolClient,
    deadline: Deadline,
    work: (client: pg.PoolClient) => Promise<T>,
  ): Promise<T> {
    try {
      const result = await deadline.race(work(client));
      client.release();
      return result;
    } catch (error) {
      // A connection whose state is unknown is destroyed; one that answered with an SQL error is in order again.
      client.release(!isSqlError(error) && !(error instanceof ProblemError && error.code !== 'deadline_exceeded'));
      throw translateError(error);
    }
  }
}

/** A merchant's own reads and writes are its; what is for several, or for none, is the platform's. */
function holderOf(scope: Scope): Holder {
  if (typeof scope === 'string') return 'platform';
  const [merchantId, another] = scope.merchantIds;
  return merchantId === undefined || another !== undefined ? 'platform' : merchantId;
}

/** Waits for every statement of a pipeline, then throws the first one's error: later ones only repeat 25P02. */
export async function allSettledThenThrow<T>(pipeline: Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(pipeline);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
  return results.map((result) => (result as PromiseFulfilledResult<T>).value);
}

export function isSqlError(error: unknown): error is pg.DatabaseError {
  return error instanceof pg.DatabaseError && error.code !== undefined && !isConnectionLoss(error);
}

/** Serialization failures and deadlocks: the transaction left nothing and may be tried again. */
export function isRetriable(error: unknown): boolean {
  return error instanceof pg.DatabaseError && RETRIABLE.has(error.code ?? '');
}

export function isUniqueViolation(error: unknown, constraint?: string): boolean {
  return (
    error instanceof pg.DatabaseError &&
    error.code === '23505' &&
    (constraint === undefined || error.constraint === constraint)
  );
}

export function isLockTimeout(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '55P03';
}

export function isConnectionLoss(error: unknown): boolean {
  if (error instanceof pg.DatabaseError) {
    // A statement with other parameters than it names: ours to mend. From PgBouncer, FATAL, the same code is a lost server.
    if (error.code === '08P01' && error.severity === 'ERROR') return false;
    return UNAVAILABLE.some((prefix) => (error.code ?? '').startsWith(prefix));
  }
  if (!(error instanceof Error)) return false;
  const { code } = error as NodeJS.ErrnoException;
  return (
    UNAVAILABLE_ERRNOS.has(code ?? '') ||
    /Connection terminated|connection error|timeout expired|timeout exceeded when trying to connect|Client was closed/i.test(
      error.message,
    )
  );
}

/** What pg-pool says when no connection came free in time; a server that does not answer reads otherwise. */
const NO_FREE_CONNECTION = 'timeout exceeded when trying to connect';

function allBusy(cause?: unknown): ProblemError {
  return new ProblemError('overloaded', 'Every database connection is busy.', { retryAfterS: 1, cause });
}

function noConnection(cause?: unknown): ProblemError {
  return new ProblemError('database_unavailable', 'The database cannot be reached.', { retryAfterS: 1, cause });
}

/** Errors of the database as the contract tells them; what it does not know is returned as it is. */
export function translateError(error: unknown): unknown {
  if (error instanceof ProblemError) return error;
  if (error instanceof Error && error.message === NO_FREE_CONNECTION) return allBusy(error);
  if (isConnectionLoss(error)) {
    return noConnection(error);
  }
  if (isRetriable(error)) {
    const detail = 'The database gave up this transaction because of another one; try again.';
    return new ProblemError('database_unavailable', detail, { retryAfterS: 1, cause: error });
  }
  if (error instanceof pg.DatabaseError && error.code === '57014') return deadlineExceeded();
  return error;
}
