import { systemClock } from '#kernel/clock.js';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import { decideGroup, touchedBy } from '#ledger/writing/group.js';
import type { Submission } from '#ledger/writing/group-extension.js';
import { GroupConnection } from '#ledger/writing/group-store.js';
import { Writer } from '#ledger/writing/writer.js';
import type { WriterOptions } from '#ledger/writing/writer-options.js';
import { Database } from '#platform/postgres.js';
import { finish } from '#platform/turns.js';
import { PostgresWorkerLease } from '#platform/worker-lease.js';
import type { BenchMerchant } from './requests.js';
import { SubmissionSource } from './submission-source.js';
import { measure, type Times, type TrialResult } from './trial-result.js';

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
    this.#writer = new Writer(writerOptions(url), this.#ids);
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
  byHand(times: Times): Promise<TrialResult> {
    return this.#measure(times, async (submission) => {
      const locked = await this.#connection.begin({
        ...touchedBy([submission]),
        timeoutMs: TIMEOUT_MS,
        lockWaitMs: TIMEOUT_MS,
      });
      const { writes } = finish(decideGroup([submission], locked, this.#ids, this.#ids.next()));
      if (!writes) throw new Error('nothing to write');
      await this.#connection.writeAndCommit(writes);
    });
  }

  /** Postings that are submitted to the writer. */
  throughWriter(times: Times): Promise<TrialResult> {
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

  #measure(times: Times, post: (submission: Submission) => Promise<void>): Promise<TrialResult> {
    return measure(times, 1, async () => {
      await post(this.#submissions.next());
      return true;
    });
  }
}

/** As the API's writer by default, but for its patience. */
export function writerOptions(databaseUrl: string): WriterOptions {
  return {
    databaseUrl,
    lanes: 2,
    apartLanes: 1,
    laneCapacity: 1_000,
    merchantCapacity: 1_000,
    groupSize: 200,
    attempts: 3,
    lockWaitMs: 50,
    apartLockWaitMs: 1_000,
    groupTimeoutMs: TIMEOUT_MS,
    idempotencyWaitMs: TIMEOUT_MS,
  };
}
