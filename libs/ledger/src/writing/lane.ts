import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { ProblemError } from '#kernel/problem.js';
import type { SnowflakeGenerator } from '#kernel/snowflake.js';
import type { CommitHints } from '#outbox/log/hints.js';
import { Deadline, deadlineExceeded } from '#platform/deadline.js';
import { isConnectionLoss, isRetriable, isUniqueViolation, translateError } from '#platform/postgres.js';
import { spanTime } from '#platform/tracing.js';
import { finishInTurns } from '#platform/turns.js';
import type { KeyedBalance } from '../accounts/balance-store.js';
import type { BalanceFences, FencedGroup } from './balance-fences.js';
import { decideGroup, type Failed, touchedBy } from './group.js';
import type { Outcome } from './group-extension.js';
import type { GroupWrites } from './group-parameters.js';
import { GroupSpans } from './group-spans.js';
import { AmbiguousCommit, GroupConnection, type LockedGroup } from './group-store.js';
import type { Group, Lines, Waiting } from './lines.js';
import type { WriterOptions } from './writer-options.js';
import type { GroupStep, WriterTimes } from './writer-times.js';

type Decided = [Waiting, Outcome | Failed];

/** What came of a try; `missed`: who was left behind. */
interface Tried {
  outcomes: Decided[];
  missed: readonly Waiting[];
}

/** What one try of a group is made with. */
interface Attempt {
  token: bigint;
  touched: ReturnType<typeof touchedBy>;
  fence: Promise<FencedGroup>;
  spans: GroupSpans;
}

/** What lanes commit with. */
export interface LaneParts {
  options: WriterOptions;
  ids: SnowflakeGenerator;
  fences: BalanceFences;
  hints: CommitHints | undefined;
  lines: Lines;
  times: WriterTimes;
}

/** Backoff before retry n is drawn from (0, n × this]. */
const BACKOFF_STEP_MS = 20;
const CONNECT_TIMEOUT_MS = 2_000;

/** One connection, and the group that is in flight on it. */
export class Lane {
  readonly #parts: LaneParts;
  readonly #options: WriterOptions;
  readonly #lines: Lines;
  /** How long its groups wait for locks that other processes hold. */
  readonly #lockWaitMs: number;
  /** Groups that are committed and whose balances are being published; the lane goes on meanwhile. */
  readonly #publishing = new Set<Promise<void>>();
  #isBusy = false;
  #connection: GroupConnection | undefined;

  constructor(
    parts: LaneParts,
    readonly kind: Group['kind'],
  ) {
    this.#parts = parts;
    this.#options = parts.options;
    this.#lines = parts.lines;
    this.#lockWaitMs = kind === 'shared' ? parts.options.lockWaitMs : parts.options.apartLockWaitMs;
  }

  get isBusy(): boolean {
    return this.#isBusy;
  }

  /** Commits a group; resolves when the next one may be taken. Its requests are told by themselves. */
  async commit(group: Group): Promise<void> {
    this.#isBusy = true;
    await this.#commit(group.waiting);
    this.#isBusy = false;
    this.#lines.done(group);
  }

  /** When nothing waits any more. */
  async close(): Promise<void> {
    await Promise.all(this.#publishing);
    await this.#connection?.close();
  }

  /**
   * Commits a group, bounded in tries. What cannot be committed together is tried merchant by merchant; of whose own group it cannot, one
   * by one and apart. So poison fails alone, and others do not wait for the rest of its merchant's.
   */
  async #commit(group: readonly Waiting[]): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      const alive = group.filter((waiting) => !rejectedAsLate(waiting));
      if (alive.length === 0) return;
      try {
        const { outcomes, published, missed } = await this.#attempt(alive);
        this.#acknowledge(outcomes, published);
        this.#leaveBehind(missed);
        return;
      } catch (error) {
        const mayPass = isTransient(error);
        if (mayPass && attempt < this.#options.attempts) {
          await sleep(Math.random() * attempt * BACKOFF_STEP_MS);
          continue;
        }
        if (alive.length > 1 && mayBeOnesFault(error)) {
          const ofMerchants = [...Map.groupBy(alive, ({ submission }) => submission.merchantId).values()];
          if (ofMerchants.length === 1) this.#lines.leaveOneByOne(alive);
          else for (const own of ofMerchants) await this.#commit(own);
          return;
        }
        for (const waiting of alive) waiting.reject(asProblem(error));
        return;
      }
    }
  }

  /** Once the balances are published. With CACHE_WRITE_POLICY=strict that may take seconds, while the lane goes on: held answers fill the lines, too. */
  #acknowledge(outcomes: readonly Decided[], published: Promise<void>): void {
    const held = outcomes.map(([waiting]) => waiting);
    this.#lines.publishing(held);
    const publishing: Promise<void> = published.then(() => {
      this.#lines.answered(held);
      for (const [waiting, outcome] of outcomes) {
        if (outcome.kind === 'failed') waiting.reject(outcome.error);
        else waiting.resolve(outcome);
      }
      this.#publishing.delete(publishing);
    });
    this.#publishing.add(publishing);
  }

  /** Whose merchant's lock another process held for longer than the group waited: apart, and not more often than any other try. */
  #leaveBehind(missed: readonly Waiting[]): void {
    const [again, enough] = [[], []] as [Waiting[], Waiting[]];
    for (const waiting of missed) {
      if (this.kind === 'apart') waiting.missed += 1;
      (waiting.missed < this.#options.attempts ? again : enough).push(waiting);
    }
    this.#lines.leaveBehind(again);
    for (const waiting of enough) waiting.reject(asProblem(groupTimedOut()));
  }

  /** Fence → commit → publish; who acknowledges waits for `published`. */
  async #attempt(group: readonly Waiting[]): Promise<Tried & { published: Promise<void> }> {
    const token = this.#parts.ids.next();
    for (const waiting of group) waiting.attempts += 1;
    this.#parts.times.began(this.kind, group, spanTime());
    const spans = new GroupSpans(group);
    const touched = touchedBy(group.map((waiting) => waiting.submission));
    const accounts = touched.accounts.map(({ merchantId, id }) => ({ merchantId, accountId: id }));
    // On its way while PostgreSQL locks: COMMIT alone has to wait for its answer.
    const fence = this.#parts.fences.fence(accounts, token, this.#options.groupTimeoutMs, spans.leader);
    try {
      const { outcomes, missed, locked, writes } = await this.#transact(group, { token, touched, fence, spans });
      if (writes) this.#parts.hints?.committed(locked.merchantIds, spans.leader);
      const published = this.#publish(await fence, locked.balances, writes?.balances ?? [], spans);
      return { outcomes, missed, published: published.finally(() => spans.end()) };
    } catch (error) {
      const fenced = await fence;
      if (error instanceof Unsettled) fenced.leave();
      else await fenced.abandon();
      // Behind the last step: the next try begins when this one has ended.
      spans.fail(error);
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
    { leader }: GroupSpans,
  ): Promise<void> {
    const names = new Set(changed.map(({ merchantId, accountId }) => `${merchantId}:${accountId}`));
    const unchanged = locked.filter(({ merchantId, accountId }) => !names.has(`${merchantId}:${accountId}`));
    await Promise.all([
      changed.length > 0 ? fenced.publish(changed) : fenced.abandon(),
      unchanged.length > 0 ? this.#parts.fences.invalidate(unchanged, leader) : undefined,
    ]);
  }

  async #transact(
    group: readonly Waiting[],
    { token, touched, fence, spans }: Attempt,
  ): Promise<Tried & { locked: LockedGroup; writes: GroupWrites | undefined }> {
    const { groupTimeoutMs: timeoutMs } = this.#options;
    const deadline = Deadline.after(timeoutMs);
    const connection = this.#isConnected ? await this.#connect() : await spans.step('connect', () => this.#connect());
    const locked = await this.#step(spans, 'lock balances', () =>
      this.#onConnection(
        connection,
        deadline,
        connection.begin({ ...touched, timeoutMs, lockWaitMs: this.#lockWaitMs }),
      ),
    );
    const merchantIds = new Set(locked.merchantIds);
    const [here, missed] = [true, false].map((is) =>
      group.filter(({ submission }) => merchantIds.has(submission.merchantId) === is),
    ) as [Waiting[], Waiting[]];
    // Who ran out of time while the group waited for its locks has been told so: for them nothing is written any more.
    const inTime = here.filter((waiting) => !rejectedAsLate(waiting));
    const submissions = inTime.map((waiting) => waiting.submission);
    const { outcomes, writes } = await this.#orRollback(connection, () =>
      finishInTurns(decideGroup(submissions, locked, this.#parts.ids, token)),
    );
    const answers = inTime.map((waiting, index): Decided => [waiting, outcomes[index] as Decided[1]]);
    if (!writes) {
      await spans.step('roll back', () => this.#onConnection(connection, deadline, connection.rollback()));
      return { outcomes: answers, missed, locked, writes };
    }
    await fence;
    try {
      await this.#step(spans, 'write and commit', () =>
        deadline.race(connection.writeAndCommit(writes), groupTimedOut),
      );
    } catch (error) {
      if (!(error instanceof AmbiguousCommit || error instanceof GroupTimedOut)) throw error;
      connection.destroy();
      if (!(await this.#step(spans, 'settle', () => this.#settle(token)))) throw new GroupVoided(error);
    }
    return { outcomes: answers, missed, locked, writes };
  }

  #step<T>(spans: GroupSpans, name: GroupStep, work: () => Promise<T>): Promise<T> {
    return this.#parts.times.steps[name].measure(() => spans.step(name, work), spans.leader);
  }

  get #isConnected(): boolean {
    return this.#connection !== undefined && !this.#connection.broken;
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
