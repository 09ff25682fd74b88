import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import type { Idempotency } from '#platform/idempotency.js';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import { BALANCE_GUARD, type BalanceGuard } from './balance-guard.js';
import { readBalances } from './balance-store.js';
import { decide } from './decide.js';
import { PostingDesk, type PostingReply, type PostRequest, resultOf } from './posting.js';
import type { Submission } from './submission.js';

/** Posts, or holds, one transaction. Without an idempotency key it is a dry run: decided against what is there, written nowhere. */
export class PostTransactionCommand extends Command<PostingReply> {
  constructor(
    readonly context: RequestContext,
    readonly request: PostRequest,
    readonly idempotency: Idempotency | 'dry run',
  ) {
    super();
  }
}

@CommandHandler(PostTransactionCommand)
export class PostTransactionHandler implements ICommandHandler<PostTransactionCommand> {
  constructor(
    private readonly desk: PostingDesk,
    private readonly database: Database,
    private readonly ids: SnowflakeGenerator,
    @Inject(BALANCE_GUARD) private readonly guard: BalanceGuard,
  ) {}

  async execute({ context, request, idempotency }: PostTransactionCommand): Promise<PostingReply> {
    const { commands, accounts } = await this.desk.resolve(context, [request]);
    if (idempotency !== 'dry run') {
      const submitted = await this.desk.submit(context, { mode: 'single', commands, accounts, idempotency });
      return this.desk.replyTo(submitted, context);
    }
    const [command] = commands;
    if (!command) throw new Error('a posting without a command');
    const balances = await readBalances(this.database, context.merchantId, [...accounts.keys()], context.deadline);
    const { merchantId } = context;
    // What is answered was learnt from PostgreSQL: the cache is told first.
    await this.guard.tell([...balances].map(([accountId, { version }]) => ({ merchantId, accountId, version })));
    let newest = 0n;
    for (const balance of balances.values()) if (balance.lastTransactionId > newest) newest = balance.lastTransactionId;
    const book = {
      account: (id: bigint) => accounts.get(id),
      balance: (id: bigint) => balances.get(id),
      parent: () => undefined,
    };
    const decision = decide(book, command, this.ids.next(newest));
    const submission: Submission = {
      ...context,
      mode: 'single',
      commands,
      accounts,
      parents: new Map(),
      idempotency: undefined,
    };
    return { result: resultOf(submission, decision), replayed: false };
  }
}
