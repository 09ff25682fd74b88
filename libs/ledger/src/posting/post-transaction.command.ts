import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import type { Idempotency } from '#platform/idempotency.js';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import { finish } from '#platform/turns.js';
import { AccountDirectory } from '../accounts/account-directory.js';
import { readBalances } from '../accounts/balance-store.js';
import { BALANCE_FENCES, type BalanceFences } from '../writing/balance-fences.js';
import { decideGroup } from '../writing/group.js';
import type { Submission } from '../writing/group-extension.js';
import { Writer } from '../writing/writer.js';
import type { PostRequest } from './command.js';
import { type PostingReply, type PostingResult, replyTo, resultOf } from './posting.js';

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
    readonly database: Database,
    readonly directory: AccountDirectory,
    private readonly writer: Writer,
    private readonly ids: SnowflakeGenerator,
    @Inject(BALANCE_FENCES) private readonly fences: BalanceFences,
  ) {}

  async execute({ context, request, idempotency }: PostTransactionCommand): Promise<PostingReply> {
    const { commands, accounts } = await this.directory.resolve(context, [request]);
    if (idempotency !== 'dry run') {
      const submitted = await this.writer.post(context, { mode: 'single', commands, accounts, idempotency });
      return replyTo(submitted, context, this);
    }
    return { result: await this.#tryOut(context, commands, accounts), replayed: false };
  }

  /** Decided from unlocked rows as a group of its own, and forgotten. */
  async #tryOut(
    context: RequestContext,
    commands: Submission['commands'],
    accounts: Submission['accounts'],
  ): Promise<PostingResult> {
    const { merchantId } = context;
    const keys = [...accounts.keys()].map((accountId) => ({ merchantId, accountId }));
    const balances = await readBalances(this.database, keys, context.deadline);
    // What is answered was learnt from PostgreSQL: what is older in the cache is invalidated first.
    await this.fences.invalidate(balances, context.span);
    const submission: Submission = {
      ...context,
      mode: 'single',
      commands,
      accounts,
      parents: new Map(),
      idempotency: undefined,
    };
    const rows = { balances, keys: [], states: [], found: new Map() };
    const [outcome] = finish(decideGroup([submission], rows, this.ids, this.ids.next())).outcomes;
    if (outcome?.kind === 'failed') throw outcome.error;
    if (outcome?.kind !== 'decided' || !outcome.decisions[0]) throw new Error('a dry run that was not decided');
    return resultOf(submission, outcome.decisions[0]);
  }
}
