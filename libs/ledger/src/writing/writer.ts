import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { ProblemError } from '#kernel/problem.js';
import { type SnowflakeGenerator, SnowflakeRefused } from '#kernel/snowflake.js';
import type { CommitHints } from '#outbox/log/hints.js';
import { Deadline, deadlineExceeded } from '#platform/deadline.js';
import { isConnectionLoss, isRetriable, isUniqueViolation, translateError } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import { spanTime } from '#platform/tracing.js';
import { finishInTurns } from '#platform/turns.js';
import type { KeyedBalance } from '../accounts/balance-store.js';
import { type BalanceFences, type FencedGroup, NO_FENCES } from './balance-fences.js';
import { decideGroup, type Failed, touchedBy } from './group.js';
import type { Outcome, Submission } from './group-extension.js';
import type { GroupWrites } from './group-parameters.js';
import { GroupSpans, nameTransactions } from './group-spans.js';
import { AmbiguousCommit, GroupConnection } from './group-store.js';
import { writtenEntries } from './written-entries.js';

export interface WriterOptions {
  /** Runtime role's URL; each lane keeps one connection of its own. */
  databaseUrl: string;
  /** Groups in flight at once. Measured: two beat one by a third, four are slower than two. */
  lanes: number;
  /** Requests that may wait in one lane, for their group or for their balances to be published; beyond it they are refused at once. */
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
  /** Tries that it has gone along with. */
  attempts: number;
  resolve(outcome: Outcome): void;
  reject(error: unknown): void;
}

type Decided = [Waiting, Outcome | Failed];

/** What one try of a group is made with. */
interface Attempt {
  token: bigint;
  touched: ReturnType<typeof touchedBy>;
  fence: Promise<FencedGroup>;
  spans: GroupSpans;
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
  /** The request that is running with a merchant's key. The next one is decided when it has settled: it may have burnt no key. */
  readonly #inFlight = new Map<string, Promise<unknown>>();

  constructor(options: WriterOptions, ids: SnowflakeGenerator, fences: BalanceFences = NO_FENCES, hints?: CommitHints) {
    this.#options = options;
    this.#lanes = Array.from({ length: options.lanes }, () => new Lane(options, ids, fences, hints));
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
      await waitUntil.race(first, inFlight);
    }
    const outcome = this.#enqueue(submission);
    this.#inFlight.set(key, outcome.then(ignore, ignore));
    try {
      return await outcome;
    } finally {
      this.#inFlight.delete(key);
    }
  }

  /** Submits a request's commands, names what came of them on its span, and counts it. */
  async post(
    context: RequestContext,
    request: Omit<Submission, keyof RequestContext | 'parents'> & Partial<Pick<Submission, 'parents'>>,
  ): Promise<{ submission: Submission; outcome: Outcome }> {
    const { merchantId, deadline, span, cost } = context;
    const submission: Submission = { merchantId, deadline, span, parents: new Map(), ...request };
    const outcome = await this.submit(submission);
    cost.addRows(submission.commands.length);
    cost.addEntries(writtenEntries(outcome));
    if (span.isRecording()) nameTransactions(span, outcome);
    return { submission, outcome };
  }

  /** Requests in all lanes that wait for their group, or for their balances to be published. */
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

function inFlight(): ProblemError {
  return new ProblemError('idempotency_in_flight', 'The first request with this Idempotency-Key is still running.', {
    retryAfterS: 1,
  });
}

class Lane {
  readonly #options: WriterOptions;
  readonly #ids: SnowflakeGenerator;
  readonly #fences: BalanceFences;
  readonly #hints: CommitHints | undefined;
  /** Groups that are committed and whose balances are being published; the lane goes on meanwhile. */
  readonly #publishing = new Set<Promise<void>>();
  /** Requests in those groups. */
  #held = 0;
  #queue: Waiting[] = [];
  #running: Promise<void> | undefined;
  #connection: GroupConnection | undefined;

  constructor(options: WriterOptions, ids: SnowflakeGenerator, fences: BalanceFences, hints: CommitHints | undefined) {
    this.#options = options;
    this.#ids = ids;
    this.#fences = fences;
    this.#hints = hints;
  }

  get waiting(): number {
    return this.#queue.length + this.#held;
  }

  push(submission: Submission): Promise<Outcome> {
    if (this.waiting >= this.#options.laneCapacity) {
      return Promise.reject(new ProblemError('overloaded', 'Too many postings are waiting.', { retryAfterS: 1 }));
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ submission, enqueuedAt: spanTime(), attempts: 0, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  async close(): Promise<void> {
    await this.#running;
    await Promise.all(this.#publishing);
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
        const { outcomes, published } = await this.#attempt(alive);
        this.#acknowledge(outcomes, published);
        return;
      } catch (error) {
        const mayPass = isTransient(error);
        if (mayPass && attempt < this.#options.attempts) {
          await sleep(Math.random() * attempt * BACKOFF_STEP_MS);
          continue;
        }
        if (alive.length > 1 && mayBeOnesFault(error)) {
          for (const waiting of alive) await this.#commit([waiting]);
          return;
        }
        for (const waiting of alive) waiting.reject(asProblem(error));
        return;
      }
    }
  }

  /** Once the balances are published. With CACHE_WRITE_POLICY=strict that may take seconds, while the lane goes on: held answers fill it, too. */
  #acknowledge(outcomes: readonly Decided[], published: Promise<void>): void {
    this.#held += outcomes.length;
    const publishing: Promise<void> = published.then(() => {
      this.#held -= outcomes.length;
      for (const [waiting, outcome] of outcomes) {
        if (outcome.kind === 'failed') waiting.reject(outcome.error);
        else waiting.resolve(outcome);
      }
      this.#publishing.delete(publishing);
    });
    this.#publishing.add(publishing);
  }

  /** Fence → commit → publish; who acknowledges waits for `published`. */
  async #attempt(group: readonly Waiting[]): Promise<{ outcomes: Decided[]; published: Promise<void> }> {
    const token = this.#ids.next();
    for (const waiting of group) waiting.attempts += 1;
    const spans = new GroupSpans(group);
    const touched = touchedBy(group.map((waiting) => waiting.submission));
    const accounts = touched.accounts.map(({ merchantId, id }) => ({ merchantId, accountId: id }));
    // On its way while PostgreSQL locks: COMMIT alone has to wait for its answer.
    const fence = this.#fences.fence(accounts, token, this.#options.groupTimeoutMs);
    try {
      const { outcomes, locked, writes } = await this.#transact(group, { token, touched, fence, spans });
      spans.end();
      if (writes) this.#hints?.committed(touched.merchantIds);
      return { outcomes, published: this.#publish(await fence, locked, writes?.balances ?? []) };
    } catch (error) {
      spans.fail(error);
      const fenced = await fence;
      if (error instanceof Unsettled) fenced.leave();
      else await fenced.abandon();
      throw error;
    }
  }

  /**
   * Publishes what changed, and invalidates what is older of what did not: a refusal or a replay learnt those from PostgreSQL and
   * is about to hand them on.
   */
  async #publish(
    fenced: FencedGroup,
    locked: readonly KeyedBalance[],
    changed: GroupWrites['balances'],
  ): Promise<void> {
    const names = new Set(changed.map(({ merchantId, accountId }) => `${merchantId}:${accountId}`));
    const unchanged = locked.filter(({ merchantId, accountId }) => !names.has(`${merchantId}:${accountId}`));
    await Promise.all([
      changed.length > 0 ? fenced.publish(changed) : fenced.abandon(),
      unchanged.length > 0 ? this.#fences.invalidate(unchanged) : undefined,
    ]);
  }

  async #transact(
    group: readonly Waiting[],
    { token, touched, fence, spans }: Attempt,
  ): Promise<{ outcomes: Decided[]; locked: KeyedBalance[]; writes: GroupWrites | undefined }> {
    const deadline = Deadline.after(this.#options.groupTimeoutMs);
    const connection = await this.#connect();
    const locked = await spans.step('lock balances', () =>
      this.#onConnection(
        connection,
        deadline,
        connection.begin({ ...touched, timeoutMs: this.#options.groupTimeoutMs }),
      ),
    );
    // Who ran out of time while the group waited for its locks has been told so: for them nothing is written any more.
    const inTime = group.filter((waiting) => !rejectedAsLate(waiting));
    const submissions = inTime.map((waiting) => waiting.submission);
    const { outcomes, writes } = await this.#orRollback(connection, () =>
      finishInTurns(decideGroup(submissions, locked, this.#ids, token)),
    );
    const answers = inTime.map((waiting, index): Decided => [waiting, outcomes[index] as Decided[1]]);
    if (!writes) {
      await this.#onConnection(connection, deadline, connection.rollback());
      return { outcomes: answers, locked: locked.balances, writes };
    }
    await fence;
    try {
      await spans.step('write and commit', () => deadline.race(connection.writeAndCommit(writes), groupTimedOut));
    } catch (error) {
      if (!(error instanceof AmbiguousCommit || error instanceof GroupTimedOut)) throw error;
      connection.destroy();
      if (!(await spans.step('settle', () => this.#settle(token)))) throw new GroupVoided(error);
    }
    return { outcomes: answers, locked: locked.balances, writes };
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

  async #orRollback<T>(connection: GroupConnection, step: () => Promise<T>): Promise<T> {
    try {
      return await step();
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
        if (attempt >= this.#options.attempts) throw new Unsettled(error);
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

/** Nobody knows yet whether the group committed. */
class Unsettled extends ProblemError {
  override name = 'Unsettled';
  constructor(cause: unknown) {
    const detail =
      'The connection to the database was lost during the commit; the Idempotency-Key tells what became of it.';
    super('database_unavailable', detail, { retryAfterS: 1, cause });
  }
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

/** Whether one request alone may be why the group fails: then the others must not fail with it. */
function mayBeOnesFault(error: unknown): boolean {
  return isUniqueViolation(error) || !(isTransient(error) || error instanceof ProblemError);
}

function asProblem(error: unknown): unknown {
  if (error instanceof SnowflakeRefused) {
    return new ProblemError('overloaded', 'No transaction id can be issued at the moment.', {
      retryAfterS: 1,
      cause: error,
    });
  }
  if (isConnectionLoss(error) || !isTransient(error)) return translateError(error);
  return new ProblemError('database_unavailable', 'The database did not commit in time.', {
    retryAfterS: 1,
    cause: error,
  });
}

function rejectedAsLate(waiting: Waiting): boolean {
  if (!waiting.submission.deadline.expired) return false;
  waiting.reject(deadlineExceeded());
  return true;
}
