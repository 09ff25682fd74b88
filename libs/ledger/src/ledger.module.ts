import { type BeforeApplicationShutdown, type DynamicModule, Module } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import { CommitHints } from '#outbox/hints.js';
import { Database } from '#platform/postgres.js';
import { GetAccountHandler, ListAccountsHandler, ListStatementHandler } from './account.queries.js';
import { AccountDirectory } from './account-directory.js';
import { ChangeAccountStatusHandler } from './account-status.command.js';
import { BALANCE_GUARD, type BalanceGuard } from './balance-guard.js';
import { CreateAccountHandler } from './create-account.command.js';
import { MoveTransactionHandler } from './move-transaction.command.js';
import { PostBatchHandler } from './post-batch.command.js';
import { PostTransactionHandler } from './post-transaction.command.js';
import { PostingDesk } from './posting.js';
import { GetTransactionsHandler, ListTransactionsHandler } from './transaction.queries.js';
import { Writer, type WriterOptions } from './writer.js';

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
 * The ledger's commands and queries. Needs `Database`, `SnowflakeGenerator`, `AccountDirectory` and BALANCE_GUARD from global
 * modules; gives hints of its commits to `CommitHints` where there is one.
 */
@Module({})
export class LedgerModule implements BeforeApplicationShutdown {
  constructor(private readonly writer: Writer) {}

  static with(options: WriterOptions): DynamicModule {
    return {
      module: LedgerModule,
      imports: [CqrsModule],
      providers: [
        ...HANDLERS,
        {
          provide: Writer,
          useFactory: (ids: SnowflakeGenerator, guard: BalanceGuard, hints?: CommitHints) =>
            new Writer(options, ids, guard, hints),
          inject: [SnowflakeGenerator, BALANCE_GUARD, { token: CommitHints, optional: true }],
        },
        {
          provide: PostingDesk,
          useFactory: (database: Database, directory: AccountDirectory, writer: Writer) =>
            new PostingDesk(database, directory, writer),
          inject: [Database, AccountDirectory, Writer],
        },
      ],
      exports: [Writer, CqrsModule],
    };
  }
  /** After the requests and duties have ended, and before the pools are closed. */
  beforeApplicationShutdown(): Promise<void> {
    return this.writer.close();
  }
}
