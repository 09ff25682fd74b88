import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { notFound } from '#kernel/problem.js';
import type { Idempotency } from '#platform/idempotency.js';
import type { RequestContext } from '#platform/request-context.js';
import type { Capture, Release, Reverse } from './command.js';
import { PostingDesk, type PostingReply } from './posting.js';

/**
 * Moves a transaction that is there: post (part of) a hold, void or expire it, reverse a posting. Throws `not_found`.
 * Only `expire` goes without a key: the state machine itself keeps it from happening twice.
 */
export class MoveTransactionCommand extends Command<PostingReply> {
  constructor(
    readonly context: RequestContext,
    readonly move: Capture | Release | Reverse,
    readonly idempotency: Idempotency | undefined,
  ) {
    super();
  }
}

@CommandHandler(MoveTransactionCommand)
export class MoveTransactionHandler implements ICommandHandler<MoveTransactionCommand> {
  constructor(private readonly desk: PostingDesk) {}

  async execute({ context, move, idempotency }: MoveTransactionCommand): Promise<PostingReply> {
    const found = await this.desk.parent(context, move);
    if (!found) throw notFound('transaction');
    const submitted = await this.desk.submit(context, {
      mode: 'single',
      commands: [move],
      ...found,
      idempotency,
    });
    return this.desk.replyTo(submitted, context);
  }
}
