import { systemClock } from '#kernel/clock.js';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import { decideGroup, touchedBy } from '#ledger/group.js';
import { GroupConnection } from '#ledger/group-store.js';
import type { Submission } from '#ledger/submission.js';
import { Writer } from '#ledger/writer.js';
import { Database } from '#platform/postgres.js';
import { PostgresWorkerLease } from '#platform/worker-lease.js';
import type { BenchMerchant } from './requests.js';
import { SubmissionSource } from './submission-source.js';
import { resultOf, type TrialResult } from './trial-result.js';

const TIMEOUT_MS = 5_000;

/**
 * One caller without HTTP: through the writer, and with the writer's statements sent by hand on one connection. What lies
 * between the two is what a lone caller pays for group commit.
 */
export class LoneCaller {
  readonly #submissions: SubmissionSource;
  readonly #database: Database;
  readonly #lease: PostgresWorkerLease;
  readonly #ids: SnowflakeGenerator;
  readonly #connection: GroupConnection;
  readonly #writer: Writer;

  private constructor(
    merchants: readonly BenchMerchant[],
    database: Database,
    lease: PostgresWorkerLease,
    connection: GroupConnection,
    url: string,
  ) {
    this.#submissions = new SubmissionSource(merchants);
    this.#database = database;
    this.#lease = lease;
    this.#connection = connection;
    this.#ids = new SnowflakeGenerator(systemClock, lease);
    this.#writer = new Writer(
      {
        databaseUrl: url,
        lanes: 2,
        laneCapacity: 1_000,
        groupSize: 200,
        attempts: 3,
        groupTimeoutMs: TIMEOUT_MS,
        idempotencyWaitMs: TIMEOUT_MS,
      },
      this.#ids,
    );
  }

  static async open(runtimeUrl: string, merchants: readonly BenchMerchant[]): Promise<LoneCaller> {
    const database = new Database(runtimeUrl, {
      poolSize: 1,
      connectTimeoutMs: TIMEOUT_MS,
      applicationName: 'counterfoil-bench',
    });
    const lease = await PostgresWorkerLease.acquire(database);
    return new LoneCaller(merchants, database, lease, await GroupConnection.open(runtimeUrl, TIMEOUT_MS), runtimeUrl);
  }

  /** Postings whose statements are sent by hand: trip 1, the decision, trip 2. */
  byHand(times: { warmUpMs: number; measureMs: number }): Promise<TrialResult> {
    return this.#measure(times, async (submission) => {
      const locked = await this.#connection.begin({ ...touchedBy([submission]), timeoutMs: TIMEOUT_MS });
      const { writes } = decideGroup([submission], locked, this.#ids, this.#ids.next());
      if (!writes) throw new Error('nothing to write');
      await this.#connection.writeAndCommit(writes);
    });
  }

  /** Postings that are submitted to the writer. */
  throughWriter(times: { warmUpMs: number; measureMs: number }): Promise<TrialResult> {
    return this.#measure(times, async (submission) => {
      const outcome = await this.#writer.submit(submission);
      if (outcome.kind !== 'decided' || !outcome.decisions[0]?.accepted)
        throw new Error(`the writer answered ${outcome.kind}`);
    });
  }

  async close(): Promise<void> {
    await this.#writer.close();
    await this.#connection.close();
    await this.#lease.release();
    await this.#database.close();
  }

  async #measure(
    times: { warmUpMs: number; measureMs: number },
    post: (submission: Submission) => Promise<void>,
  ): Promise<TrialResult> {
    const latenciesMs: number[] = [];
    const warmUntil = performance.now() + times.warmUpMs;
    const until = warmUntil + times.measureMs;
    for (let now = performance.now(); now < until; now = performance.now()) {
      const submission = this.#submissions.next();
      const startedAt = performance.now();
      await post(submission);
      if (startedAt >= warmUntil) latenciesMs.push(performance.now() - startedAt);
    }
    return resultOf(latenciesMs, 1);
  }
}
