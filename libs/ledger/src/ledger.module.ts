import { type BeforeApplicationShutdown, Module } from '@nestjs/common';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import { CommitHints } from '#outbox/log/hints.js';
import type { Metrics } from '#platform/metrics.js';
import { CONFIG } from '#platform/platform.module.js';
import type { BringsMetrics } from '#platform/room-hooks.js';
import { GetAccountHandler, ListAccountsHandler, ListStatementHandler } from './account.queries.js';
import { ChangeAccountStatusHandler } from './account-status.command.js';
import { BALANCE_FENCES, type BalanceFences } from './balance-fences.js';
import { CreateAccountHandler } from './create-account.command.js';
import { MoveTransactionHandler } from './move-transaction.command.js';
import { PostBatchHandler } from './post-batch.command.js';
import { PostTransactionHandler } from './post-transaction.command.js';
import type { LedgerSettings } from './settings.js';
import { GetTransactionsHandler, ListTransactionsHandler } from './transaction.queries.js';
import { Writer } from './writer.js';
import { writerOptionsOf } from './writer-options.js';

const HANDLERS = [
  PostTransactionHandler,
  PostBatchHandler,
  MoveTransactionHandler,
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
    {
      provide: Writer,
      useFactory: (config: LedgerSettings, ids: SnowflakeGenerator, fences: BalanceFences, hints: CommitHints) =>
        new Writer(writerOptionsOf(config), ids, fences, hints),
      inject: [CONFIG, SnowflakeGenerator, BALANCE_FENCES, CommitHints],
    },
  ],
  exports: [Writer],
})
export class LedgerModule implements BeforeApplicationShutdown, BringsMetrics {
  constructor(private readonly writer: Writer) {}

  addMetrics(metrics: Metrics): void {
    metrics.gauge(
      'counterfoil_writer_waiting',
      'Postings that wait for their commit group, or for their balances to be told.',
      () => this.writer.waiting,
    );
  }

  /** After the requests and duties have ended, and before the pools are closed. */
  beforeApplicationShutdown(): Promise<void> {
    return this.writer.close();
  }
}
