import { ProblemError } from '#kernel/problem.js';
import type { SnowflakeGenerator } from '#kernel/snowflake.js';
import type { CommitHints } from '#outbox/log/hints.js';
import type { RequestContext } from '#platform/request-context.js';
import { spanTime } from '#platform/tracing.js';
import { type BalanceFences, NO_FENCES } from './balance-fences.js';
import { costOf } from './group.js';
import type { Outcome, Submission } from './group-extension.js';
import { nameTransactions } from './group-spans.js';
import { Lane } from './lane.js';
import { type Group, type LaneKind, Lines } from './lines.js';
import type { WriterOptions } from './writer-options.js';
import { WriterTimes } from './writer-times.js';
import { writtenEntries } from './written-entries.js';

/**
 * Group commit. Requests that arrive while a commit is under way wait and go together in the next one; no timer, so a lone
 * request commits at once. Groups take from merchants in turn, and a merchant has one in flight: its postings keep their order and never
 * fight over row locks within this process. Who would hold up others goes apart (docs/adr/0032). Correctness is the database's: other
 * processes are kept out by the locks, a duplicate by the unique key, an ambiguous COMMIT is settled by the group's fence token.
 */
export class Writer {
  readonly #options: WriterOptions;
  readonly #lines: Lines;
  readonly #lanes: readonly Lane[];
  readonly times = new WriterTimes();
  readonly #committing = new Set<Promise<void>>();
  /** The request that is running with a merchant's key. The next one is decided when it has settled: it may have burnt no key. */
  readonly #inFlight = new Map<string, Promise<unknown>>();

  constructor(options: WriterOptions, ids: SnowflakeGenerator, fences: BalanceFences = NO_FENCES, hints?: CommitHints) {
    this.#options = options;
    const { lanes, apartLanes, laneCapacity, merchantCapacity, groupSize, weightOf = () => 1 } = options;
    this.#lines = new Lines({ lanes, capacity: lanes * laneCapacity, merchantCapacity, groupSize, weightOf });
    const parts = { options, ids, fences, hints, lines: this.#lines, times: this.times };
    const kinds = [...Array<'shared'>(lanes).fill('shared'), ...Array<'apart'>(apartLanes).fill('apart')];
    this.#lanes = kinds.map((kind) => new Lane(parts, kind));
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

  /** Requests that wait for their group, or for their balances to be published. */
  get waiting(): number {
    return this.#lines.size;
  }

  /** How many may wait. */
  get capacity(): number {
    return this.#options.lanes * this.#options.laneCapacity;
  }

  get lanes(): Readonly<Record<LaneKind, number>> {
    return this.#lanesThat(() => true);
  }

  get busyLanes(): Readonly<Record<LaneKind, number>> {
    return this.#lanesThat(({ isBusy }) => isBusy);
  }

  get counts(): Lines['counts'] {
    return this.#lines.counts;
  }

  /** Finishes what is in hand, then closes the connections. */
  async close(): Promise<void> {
    while (this.#committing.size > 0) await Promise.all(this.#committing);
    await Promise.all(this.#lanes.map((lane) => lane.close()));
  }

  #lanesThat(is: (lane: Lane) => boolean): Record<LaneKind, number> {
    const count = (kind: LaneKind) => this.#lanes.filter((lane) => lane.kind === kind && is(lane)).length;
    return { shared: count('shared'), apart: count('apart') };
  }

  #enqueue(submission: Submission): Promise<Outcome> {
    const decided = new Promise<Outcome>((resolve, reject) => {
      const cost = costOf(submission);
      const waiting = { submission, cost, enqueuedAt: spanTime(), attempts: 0, missed: 0, resolve, reject };
      if (!this.#lines.push(waiting)) reject(overloaded());
    });
    this.#dispatch();
    return submission.deadline.race(decided);
  }

  /** Lanes that are idle take what waits for them. */
  #dispatch(): void {
    for (const lane of this.#lanes) {
      if (lane.isBusy) continue;
      const group = this.#lines.take(lane.kind);
      if (group) this.#commit(lane, group);
    }
  }

  #commit(lane: Lane, group: Group): void {
    const committing: Promise<void> = lane.commit(group).then(() => {
      this.#dispatch();
      this.#committing.delete(committing);
    });
    this.#committing.add(committing);
  }
}

function ignore(): void {}

function inFlight(): ProblemError {
  return new ProblemError('idempotency_in_flight', 'The first request with this Idempotency-Key is still running.', {
    retryAfterS: 1,
  });
}

function overloaded(): ProblemError {
  return new ProblemError('overloaded', 'Too many postings are waiting.', { retryAfterS: 1 });
}
