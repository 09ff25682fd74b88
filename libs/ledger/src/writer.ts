import { setTimeout as sleep } from 'node:timers/promises';
import type { Span } from '@opentelemetry/api';
import pg from 'pg';
import { LedgerError } from '#kernel/problem.js';
import { type SnowflakeGenerator, SnowflakeRefused } from '#kernel/snowflake.js';
import { Deadline, deadlineExceeded } from '#platform/deadline.js';
import { isConnectionLoss, isRetriable, translateError } from '#platform/postgres.js';
import { endSpan, spanTime, startChild } from '#platform/tracing.js';
import { decideGroup, touchedBy } from './group.js';
import { AmbiguousCommit, GroupConnection } from './group-store.js';
import type { Outcome, Submission } from './submission.js';

export interface WriterOptions {
  /** Runtime role's URL; each lane keeps one connection of its own. */
  databaseUrl: string;
  /** Groups in flight at once. Measured: two beat one by a third, four are slower than two. */
  lanes: number;
  /** Requests that may wait in one lane; beyond it they are refused at once. */
  laneCapacity: number;
  /** Commands in one group. More gains little throughput and costs latency. */
  groupSize: number;
  /** Tries of one group, the first included. */
  attempts: number;
  /** Bounds one try of a group, server side and client side. */
  groupTimeoutMs: number;
  /** How long a second request with the same key waits for the first one. */
  idempotencyWaitMs: number;
}

interface Waiting {
  submission: Submission;
  /** As `spanTime` tells it. */
  enqueuedAt: number;
  resolve(outcome: Outcome): void;
  reject(error: unknown): void;
}

/** Backoff before retry n is drawn from (0, n × this]. */
const BACKOFF_STEP_MS = 20;
const CONNECT_TIMEOUT_MS = 2_000;

/**
 * Group commit in merchant lanes. Requests that arrive while a commit is under way wait and go together in the next one; no
 * timer, so a lone request commits at once. A lane is chosen by merchant: one merchant's postings keep their order and
 * never fight over row locks within this process. Correctness is the database's: other processes are kept out by the row
 * locks, a duplicate by the unique key, an ambiguous COMMIT is settled by the group's fence token.
 */
export class Writer {
  readonly #options: WriterOptions;
  readonly #lanes: Lane[];
  readonly #inFlight = new Map<string, { requestSha256: Buffer; settled: Promise<unknown> }>();

  constructor(options: WriterOptions, ids: SnowflakeGenerator) {
    this.#options = options;
    this.#lanes = Array.from({ length: options.lanes }, () => new Lane(options, ids));
  }

  /**
   * Resolves once the submission is durable or refused. Rejects with `overloaded`, `deadline_exceeded`,
   * `database_unavailable` or `idempotency_in_flight`; after the latter three the idempotency key tells what happened.
   */
  async submit(submission: Submission): Promise<Outcome> {
    const { idempotency, merchantId, deadline } = submission;
    if (!idempotency) return this.#enqueue(submission);
    const key = `${merchantId}:${idempotency.key}`;
    const waitUntil = deadline.within(this.#options.idempotencyWaitMs);
    for (let first = this.#inFlight.get(key); first; first = this.#inFlight.get(key)) {
      if (!first.requestSha256.equals(idempotency.requestSha256)) return { kind: 'key_reused' };
      await waitUntil.race(first.settled, inFlight);
    }
    const outcome = this.#enqueue(submission);
    const settled = outcome.then(ignore, ignore);
    this.#inFlight.set(key, { requestSha256: idempotency.requestSha256, settled });
    try {
      return await outcome;
    } finally {
      this.#inFlight.delete(key);
    }
  }

  /** Requests waiting in all lanes. */
  get waiting(): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.waiting, 0);
  }

  /** Finishes what is in hand, then closes the connections. */
  async close(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.close()));
  }

  #enqueue(submission: Submission): Promise<Outcome> {
    const lane =
      this.#lanes[Number((submission.merchantId ^ (submission.merchantId >> 22n)) % BigInt(this.#lanes.length))];
    if (!lane) throw new Error('a writer without lanes');
    return submission.deadline.race(lane.push(submission));
  }
}

function ignore(): void {}

function inFlight(): LedgerError {
  return new LedgerError('idempotency_in_flight', 'The first request with this Idempotency-Key is still running.', {
    retryAfterS: 1,
  });
}

class Lane {
  readonly #options: WriterOptions;
  readonly #ids: SnowflakeGenerator;
  #queue: Waiting[] = [];
  #running: Promise<void> | undefined;
  #connection: GroupConnection | undefined;

  constructor(options: WriterOptions, ids: SnowflakeGenerator) {
    this.#options = options;
    this.#ids = ids;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  push(submission: Submission): Promise<Outcome> {
    if (this.#queue.length >= this.#options.laneCapacity) {
      return Promise.reject(new LedgerError('overloaded', 'Too many postings are waiting.', { retryAfterS: 1 }));
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ submission, enqueuedAt: spanTime(), resolve, reject });
      this.#running ??= this.#run();
    });
  }

  async close(): Promise<void> {
    await this.#running;
    await this.#connection?.close();
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0) await this.#commit(this.#take());
    this.#running = undefined;
  }

  #take(): Waiting[] {
    let commands = 0;
    let count = 0;
    for (const { submission } of this.#queue) {
      commands += submission.commands.length;
      if (count > 0 && commands > this.#options.groupSize) break;
      count += 1;
    }
    return this.#queue.splice(0, count);
  }

  /** Commits a group, bounded in tries. What cannot be committed together is tried one by one, so that poison fails alone. */
  async #commit(group: Waiting[]): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      const alive = group.filter((waiting) => !rejectedAsLate(waiting));
      if (alive.length === 0) return;
      try {
        for (const [waiting, outcome] of await this.#attempt(alive)) waiting.resolve(outcome);
        return;
      } catch (error) {
        const mayPass = isTransient(error);
        if (mayPass && attempt < this.#options.attempts) {
          await sleep(Math.random() * attempt * BACKOFF_STEP_MS);
          continue;
        }
        if (!mayPass && alive.length > 1 && !(error instanceof LedgerError)) {
          for (const waiting of alive) await this.#commit([waiting]);
          return;
        }
        for (const waiting of alive) waiting.reject(asProblem(error));
        return;
      }
    }
  }

  async #attempt(group: readonly Waiting[]): Promise<[Waiting, Outcome][]> {
    const spans = new GroupSpans(group);
    const deadline = Deadline.after(this.#options.groupTimeoutMs);
    try {
      const connection = await this.#connect();
      const touched = touchedBy(group.map((waiting) => waiting.submission));
      const lock = spans.child('lock balances');
      const locked = await this.#onConnection(
        connection,
        deadline,
        connection.begin({ ...touched, timeoutMs: this.#options.groupTimeoutMs }),
      );
      if (lock) endSpan(lock);
      // Who ran out of time while the group waited for its locks has been told so: for them nothing is written any more.
      const inTime = group.filter((waiting) => !rejectedAsLate(waiting));
      const submissions = inTime.map((waiting) => waiting.submission);
      const decided = await this.#orRollback(connection, () => decideGroup(submissions, locked, this.#ids));
      const { writes } = decided;
      const outcomes = inTime.map((waiting, index): [Waiting, Outcome] => [
        waiting,
        decided.outcomes[index] as Outcome,
      ]);
      if (!writes) {
        await this.#onConnection(connection, deadline, connection.rollback());
        return outcomes;
      }
      const write = spans.child('write and commit');
      try {
        await deadline.race(connection.writeAndCommit(writes), groupTimedOut);
      } catch (error) {
        if (!(error instanceof AmbiguousCommit || error instanceof GroupTimedOut)) throw error;
        connection.destroy();
        if (!(await this.#settle(writes.token))) throw new GroupVoided(error);
      }
      if (write) endSpan(write);
      return outcomes;
    } finally {
      spans.end();
    }
  }

  async #connect(): Promise<GroupConnection> {
    if (!this.#connection || this.#connection.broken) {
      this.#connection = await GroupConnection.open(this.#options.databaseUrl, CONNECT_TIMEOUT_MS);
    }
    return this.#connection;
  }

  /** A step before COMMIT: whatever goes wrong, the transaction is rolled back or its connection cut. */
  async #onConnection<T>(connection: GroupConnection, deadline: Deadline, step: Promise<T>): Promise<T> {
    try {
      return await deadline.race(step, groupTimedOut);
    } catch (error) {
      if (error instanceof pg.DatabaseError && !isConnectionLoss(error))
        await connection.rollback().catch(() => connection.destroy());
      else connection.destroy();
      throw error;
    }
  }

  async #orRollback<T>(connection: GroupConnection, step: () => T): Promise<T> {
    try {
      return step();
    } catch (error) {
      await connection.rollback().catch(() => connection.destroy());
      throw error;
    }
  }

  /**
   * Whether the group with this token committed. Inserting the token waits for the old backend, should it still be at work,
   * and then either finds its row (committed) or makes its commit impossible. A missing idempotency key would prove nothing.
   */
  async #settle(token: bigint): Promise<boolean> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        const connection = await this.#connect();
        return await this.#onConnection(
          connection,
          Deadline.after(this.#options.groupTimeoutMs),
          connection.committed(token),
        );
      } catch (error) {
        // Still not known: neither an acknowledgement nor a second try would be right. The key will tell.
        if (attempt >= this.#options.attempts) throw unsettled(error);
        await sleep(Math.random() * attempt * BACKOFF_STEP_MS);
      }
    }
  }
}

/** The try took longer than its time; before COMMIT was sent that means that nothing was written. */
class GroupTimedOut extends Error {
  override name = 'GroupTimedOut';
}

/** The group's fence token went in without it: it can never commit, and may be tried again under a new token. */
class GroupVoided extends Error {
  override name = 'GroupVoided';
  constructor(cause: unknown) {
    super('the group did not commit', { cause });
  }
}

function unsettled(cause: unknown): LedgerError {
  const detail =
    'The connection to the database was lost during the commit; the Idempotency-Key tells what became of it.';
  return new LedgerError('database_unavailable', detail, { retryAfterS: 1, cause });
}

function groupTimedOut(): GroupTimedOut {
  return new GroupTimedOut('the commit group timed out');
}

/** Unique violations included: another process used the same key or id first, and the retry will see it. */
function isTransient(error: unknown): boolean {
  if (error instanceof GroupTimedOut || error instanceof GroupVoided) return true;
  if (error instanceof pg.DatabaseError && ['23505', '55P03', '57014'].includes(error.code ?? '')) return true;
  return isRetriable(error) || isConnectionLoss(error);
}

function asProblem(error: unknown): unknown {
  if (error instanceof GroupTimedOut || error instanceof GroupVoided) {
    return new LedgerError('database_unavailable', 'The database did not commit in time.', {
      retryAfterS: 1,
      cause: error,
    });
  }
  if (error instanceof SnowflakeRefused) {
    return new LedgerError('overloaded', 'No transaction id can be issued at the moment.', {
      retryAfterS: 1,
      cause: error,
    });
  }
  return translateError(error);
}

function rejectedAsLate(waiting: Waiting): boolean {
  if (!waiting.submission.deadline.expired) return false;
  waiting.reject(deadlineExceeded());
  return true;
}

/**
 * Spans of one try: in each sampled request's trace its wait in the lane and the group; the first one's group span is the
 * parent of the SQL and links all requests that the group carries, the others' link to it.
 */
class GroupSpans {
  readonly #leader: Span | undefined;
  readonly #others: Span[];

  constructor(group: readonly Waiting[]) {
    const traced = group.filter((waiting) => waiting.submission.span.isRecording());
    if (traced.length === 0) {
      this.#others = [];
      return;
    }
    const startedAt = spanTime();
    const attributes = { 'counterfoil.group.requests': group.length };
    for (const { submission, enqueuedAt } of traced) {
      startChild(submission.span, 'wait in lane', { startTime: enqueuedAt }).end(startedAt);
    }
    const [first, ...rest] = traced as [Waiting, ...Waiting[]];
    const links = rest.map((waiting) => ({ context: waiting.submission.span.spanContext() }));
    const leader = startChild(first.submission.span, 'commit group', { startTime: startedAt, attributes, links });
    this.#leader = leader;
    this.#others = rest.map((waiting) =>
      startChild(waiting.submission.span, 'commit group', {
        startTime: startedAt,
        attributes,
        links: [{ context: leader.spanContext() }],
      }),
    );
  }

  child(name: string): Span | undefined {
    return this.#leader && startChild(this.#leader, name, { attributes: { 'db.system.name': 'postgresql' } });
  }

  end(): void {
    if (this.#leader) endSpan(this.#leader);
    for (const span of this.#others) endSpan(span);
  }
}
