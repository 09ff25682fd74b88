import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { notFound } from '#kernel/problem.js';
import type { Idempotency } from '#platform/idempotency.js';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import { AccountDirectory } from '../accounts/account-directory.js';
import { loadParents } from '../reading/transaction-store.js';
import { Writer } from '../writing/writer.js';
import type { TransactionChange } from './command.js';
import { type PostingReply, replyTo } from './posting.js';

/**
 * Changes where a transaction stands: capture (part of) a hold, void or expire it, reverse a posting. Throws `not_found`.
 * Only `expire` goes without a key: the state machine itself keeps it from happening twice.
 */
export class ChangeTransactionCommand extends Command<PostingReply> {
  constructor(
    readonly context: RequestContext,
    readonly change: TransactionChange,
    readonly idempotency: Idempotency | undefined,
  ) {
    super();
  }
}

@CommandHandler(ChangeTransactionCommand)
export class ChangeTransactionHandler implements ICommandHandler<ChangeTransactionCommand> {
  constructor(
    readonly database: Database,
    readonly directory: AccountDirectory,
    private readonly writer: Writer,
  ) {}

  async execute({ context, change, idempotency }: ChangeTransactionCommand): Promise<PostingReply> {
    const found = await loadParents(this.database, context, change);
    if (!found) throw notFound('transaction');
    const submitted = await this.writer.post(context, {
      mode: 'single',
      commands: [change],
      parents: new Map(found.map((transaction) => [transaction.id, transaction])),
      accounts: await this.directory.ofTransactions(context, [found[0]]),
      idempotency,
    });
    return replyTo(submitted, context, this);
  }
}
