import { randomUUID } from 'node:crypto';
import { trace } from '@opentelemetry/api';
import { type Clock, systemClock } from '#kernel/clock.js';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import { AccountDirectory } from '#ledger/accounts/account-directory.js';
import { insertAccounts, type NewAccount } from '#ledger/accounts/account-store.js';
import { ChangeTransactionCommand, ChangeTransactionHandler } from '#ledger/posting/change-transaction.command.js';
import type { PostRequest, TransactionChange } from '#ledger/posting/command.js';
import { type PostingReply, replyTo } from '#ledger/posting/posting.js';
import type { BalanceFences } from '#ledger/writing/balance-fences.js';
import { Writer } from '#ledger/writing/writer.js';
import type { WriterOptions } from '#ledger/writing/writer-options.js';
import { MerchantLog } from '#outbox/log/append.js';
import { Cost } from '#platform/cost.js';
import { Deadline } from '#platform/deadline.js';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import { PostgresWorkerLease } from '#platform/worker-lease.js';
import type { TestDatabase } from './database.js';

/** The ledger on a real database, without HTTP: one of these is one process' worth of it. */
export class TestLedger {
  private constructor(
    readonly database: Database,
    readonly ids: SnowflakeGenerator,
    readonly writer: Writer,
    readonly directory: AccountDirectory,
    private readonly lease: PostgresWorkerLease,
  ) {}

  static async open(
    on: TestDatabase,
    options: Partial<WriterOptions> = {},
    clock: Clock = systemClock,
    fences?: BalanceFences,
  ): Promise<TestLedger> {
    const database = new Database(on.runtimeUrl, { poolSize: 8, connectTimeoutMs: 60_000, applicationName: 'test' });
    const lease = await PostgresWorkerLease.acquire(database, clock);
    const ids = new SnowflakeGenerator(clock, lease);
    const writer = new Writer(
      {
        databaseUrl: on.runtimeUrl,
        lanes: 2,
        apartLanes: 1,
        laneCapacity: 100_000,
        merchantCapacity: 100_000,
        groupSize: 200,
        attempts: 5,
        lockWaitMs: 50,
        apartLockWaitMs: 1_000,
        groupTimeoutMs: 5_000,
        idempotencyWaitMs: 30_000,
        ...options,
      },
      ids,
      fences,
    );
    return new TestLedger(database, ids, writer, new AccountDirectory(database), lease);
  }

  async close(): Promise<void> {
    await this.writer.close();
    await this.lease.release();
    await this.database.close();
  }

  context(merchantId: bigint, timeoutMs = 60_000): RequestContext {
    const traceId = randomUUID().replaceAll('-', '');
    const span = trace.wrapSpanContext({ traceId, spanId: traceId.slice(16), traceFlags: 0 });
    return { merchantId, deadline: Deadline.after(timeoutMs), span, cost: new Cost() };
  }

  async createMerchant(): Promise<bigint> {
    const id = this.ids.next();
    await this.database.transaction({ merchantIds: [id] }, Deadline.after(5_000), (client) =>
      client.query({
        text: `INSERT INTO merchants (id, name, time_zone, settlement_cutoff, currencies, created_at)
               VALUES ($1, 'Test', 'UTC', '00:00', '{EUR}', snowflake_time($1))`,
        values: [id],
      }),
    );
    return id;
  }

  async createAccount(merchantId: bigint, account: Partial<NewAccount> & { code: string }): Promise<bigint> {
    const id = this.ids.next();
    await this.database.transaction({ merchantIds: [merchantId] }, Deadline.after(5_000), async (client) =>
      insertAccounts(client, await MerchantLog.lock(client, merchantId), [
        { id, name: account.code, currency: 'EUR', normalSide: 'credit', minAvailable: null, ...account },
      ]),
    );
    return id;
  }

  /** Posts one request with a key of its own unless one is given. `body` stands for the request's content. */
  async post(
    merchantId: bigint,
    request: PostRequest,
    key: string = randomUUID(),
    { timeoutMs = 60_000, body = 1 }: { timeoutMs?: number; body?: number } = {},
  ): Promise<PostingReply> {
    const context = this.context(merchantId, timeoutMs);
    const { commands, accounts } = await this.directory.resolve(context, [request]);
    const requestSha256 = Buffer.alloc(32, body);
    const submitted = await this.writer.post(context, {
      mode: 'single',
      commands,
      accounts,
      idempotency: { key, requestSha256 },
    });
    return replyTo(submitted, context, this);
  }

  /** Captures, voids, expires or reverses. */
  async change(merchantId: bigint, change: TransactionChange, key: string = randomUUID()): Promise<PostingReply> {
    const idempotency = change.kind === 'expire' ? undefined : { key, requestSha256: Buffer.alloc(32, 1) };
    return new ChangeTransactionHandler(this.database, this.directory, this.writer).execute(
      new ChangeTransactionCommand(this.context(merchantId), change, idempotency),
    );
  }
}

/** The transaction that a reply tells of. Throws the refusal, if it is one. */
export function postedId({ result }: PostingReply): bigint {
  if ('refusal' in result) throw new Error(`refused: ${result.refusal.code} ${result.refusal.detail}`);
  return result.posting.transaction.id;
}

export function transfer(from: bigint, to: bigint, amount: bigint, more: Partial<PostRequest> = {}): PostRequest {
  return {
    type: 'transfer',
    pending: false,
    entries: [
      { account: { id: from }, direction: 'debit', amount, currency: 'EUR' },
      { account: { id: to }, direction: 'credit', amount, currency: 'EUR' },
    ],
    ...more,
  };
}
