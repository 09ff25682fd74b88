import { type BeforeApplicationShutdown, Module } from '@nestjs/common';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import { CommitHints } from '#outbox/log/hints.js';
import { MerchantWeights } from '#platform/merchant-weights.js';
import type { Metrics } from '#platform/metrics.js';
import { CONFIG } from '#platform/platform.module.js';
import type { BringsMetrics } from '#platform/room-hooks.js';
import { ChangeAccountStatusHandler } from './accounts/account-status.command.js';
import { CreateAccountHandler } from './accounts/create-account.command.js';
import { SystemAccounts } from './accounts/find-system-accounts.js';
import { ChangeTransactionHandler } from './posting/change-transaction.command.js';
import { PostBatchHandler } from './posting/post-batch.command.js';
import { PostTransactionHandler } from './posting/post-transaction.command.js';
import { GetAccountHandler, ListAccountsHandler, ListStatementHandler } from './reading/account.queries.js';
import { GetTransactionsHandler, ListTransactionsHandler } from './reading/transaction.queries.js';
import type { LedgerSettings } from './settings.js';
import { BALANCE_FENCES, type BalanceFences } from './writing/balance-fences.js';
import { Writer } from './writing/writer.js';
import { addWriterMetrics } from './writing/writer-metrics.js';
import type { WriterOptions } from './writing/writer-options.js';

const HANDLERS = [
  PostTransactionHandler,
  PostBatchHandler,
  ChangeTransactionHandler,
  CreateAccountHandler,
  ChangeAccountStatusHandler,
  GetAccountHandler,
  ListAccountsHandler,
  ListStatementHandler,
  GetTransactionsHandler,
  ListTransactionsHandler,
];

/**
 * The ledger's commands and queries. Needs PlatformModule and OutboxModule, and `AccountDirectory` and BALANCE_FENCES from a
 * global module.
 */
@Module({
  providers: [
    ...HANDLERS,
    SystemAccounts,
    {
      provide: Writer,
      useFactory: (
        config: LedgerSettings,
        weights: MerchantWeights,
        ids: SnowflakeGenerator,
        fences: BalanceFences,
        hints: CommitHints,
      ) => new Writer({ ...writerOptionsOf(config), weightOf: weights.of }, ids, fences, hints),
      inject: [CONFIG, MerchantWeights, SnowflakeGenerator, BALANCE_FENCES, CommitHints],
    },
  ],
  exports: [Writer, SystemAccounts],
})
export class LedgerModule implements BeforeApplicationShutdown, BringsMetrics {
  constructor(private readonly writer: Writer) {}

  addMetrics(metrics: Metrics): void {
    addWriterMetrics(metrics, this.writer);
  }

  /** After the requests and duties have ended, and before the pools are closed. */
  beforeApplicationShutdown(): Promise<void> {
    return this.writer.close();
  }
}

function writerOptionsOf(config: LedgerSettings): WriterOptions {
  return {
    databaseUrl: config.databaseRuntimeUrl,
    lanes: config.writerLanes,
    apartLanes: config.writerApartLanes,
    laneCapacity: config.writerLaneCapacity,
    merchantCapacity: config.writerMerchantCapacity,
    groupSize: config.writerGroupSize,
    attempts: config.writerAttempts,
    lockWaitMs: config.writerLockWaitMs,
    apartLockWaitMs: config.writerApartLockWaitMs,
    groupTimeoutMs: config.writerGroupTimeoutMs,
    idempotencyWaitMs: config.idempotencyWaitMs,
  };
}
