import { createHash, randomBytes } from 'node:crypto';
import { INVALID_SPAN_CONTEXT, trace } from '@opentelemetry/api';
import { percentile } from '#db/bench/text-table.js';
import { systemClock } from '#kernel/clock.js';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import type { Account } from '#ledger/account.js';
import { decideGroup, touchedBy } from '#ledger/group.js';
import { GroupConnection } from '#ledger/group-store.js';
import type { Submission } from '#ledger/submission.js';
import { Writer } from '#ledger/writer.js';
import { Deadline } from '#platform/deadline.js';
import { Database } from '#platform/postgres.js';
import { PostgresWorkerLease } from '#platform/worker-lease.js';
import type { BenchMerchant } from './requests.js';
import type { TrialResult } from './trial-result.js';

const TIMEOUT_MS = 5_000;

/**
 * One caller without HTTP: through the writer, and with the writer's statements sent by hand on one connection. What lies
 * between the two is what a lone caller pays for group commit.
 */
export class LoneCaller {
  readonly #merchants: readonly BenchMerchant[];
  readonly #database: Database;
  readonly #lease: PostgresWorkerLease;
  readonly #ids: SnowflakeGenerator;
  readonly #connection: GroupConnection;
  readonly #writer: Writer;
  readonly #run = randomBytes(6).toString('hex');
  #sent = 0;

  private constructor(
    merchants: readonly BenchMerchant[],
    database: Database,
    lease: PostgresWorkerLease,
    connection: GroupConnection,
    url: string,
  ) {
    this.#merchants = merchants;
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
      const submission = this.#submission();
      const startedAt = performance.now();
      await post(submission);
      if (startedAt >= warmUntil) latenciesMs.push(performance.now() - startedAt);
    }
    return {
      perSecond: 1_000 / (latenciesMs.reduce((sum, ms) => sum + ms, 0) / latenciesMs.length),
      p50: percentile(latenciesMs, 0.5),
      p99: percentile(latenciesMs, 0.99),
      p999: percentile(latenciesMs, 0.999),
    };
  }

  #submission(): Submission {
    const merchant = pick(this.#merchants);
    const payer = pick(merchant.accounts);
    let payee = pick(merchant.accounts);
    while (payee === payer) payee = pick(merchant.accounts);
    const [from, to] = [payer, payee].map(
      (id): Account => ({ id: BigInt(id), code: id, currency: 'EUR', normalSide: 'credit', minAvailable: null }),
    ) as [Account, Account];
    this.#sent += 1;
    const key = `${this.#run}-${this.#sent}`;
    const entry = { amount: 100n, currency: 'EUR' };
    return {
      merchantId: BigInt(merchant.id),
      mode: 'single',
      commands: [
        {
          kind: 'post',
          pending: false,
          type: 'payment',
          entries: [
            { ...entry, accountId: from.id, direction: 'debit' },
            { ...entry, accountId: to.id, direction: 'credit' },
          ],
        },
      ],
      idempotency: { key, requestSha256: createHash('sha256').update(key).digest() },
      accounts: new Map([
        [from.id, from],
        [to.id, to],
      ]),
      parents: new Map(),
      deadline: Deadline.after(TIMEOUT_MS),
      span: trace.wrapSpanContext(INVALID_SPAN_CONTEXT),
    };
  }
}

function pick<T>(items: readonly T[]): T {
  const item = items[Math.floor(Math.random() * items.length)];
  if (item === undefined) throw new Error('nothing to pick from');
  return item;
}
