import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { notFound } from '#kernel/problem.js';
import type { Idempotency } from '#platform/idempotency.js';
import type { RequestContext } from '#platform/request-context.js';
import { AccountDirectory } from './account-directory.js';
import { refusalOf } from './group.js';
import { keyReused, PostingDesk, type PostingReply } from './posting.js';
import type { Refusal } from './submission.js';

/** What an account was asked to become, or why not. */
type CloseResult = 'closed' | { refusal: Refusal };

/** Closes an empty account. Throws `not_found`. */
export class CloseAccountCommand extends Command<PostingReply<CloseResult>> {
  constructor(
    readonly context: RequestContext,
    readonly accountId: bigint,
    readonly idempotency: Idempotency | undefined,
  ) {
    super();
  }
}

@CommandHandler(CloseAccountCommand)
export class CloseAccountHandler implements ICommandHandler<CloseAccountCommand> {
  constructor(
    private readonly desk: PostingDesk,
    private readonly directory: AccountDirectory,
  ) {}

  async execute({ context, accountId, idempotency }: CloseAccountCommand): Promise<PostingReply<CloseResult>> {
    const [account] = await this.directory.find(context.merchantId, [{ id: accountId }], context.deadline);
    if (!account) throw notFound('account');
    const { submission, outcome } = await this.desk.submit(context, {
      mode: 'single',
      commands: [{ kind: 'close', accountId }],
      accounts: new Map([[account.id, account]]),
      idempotency,
    });
    if (outcome.kind === 'key_reused') return { result: { refusal: keyReused(submission) }, replayed: false };
    if (outcome.kind === 'replayed') return { result: recalled(outcome.response), replayed: true };
    const [decision] = outcome.decisions;
    if (!decision) throw new Error('the writer decided nothing');
    return { result: decision.accepted ? 'closed' : { refusal: refusalOf(decision, submission) }, replayed: false };
  }
}

/** What the writer stored with the key: nothing but that it was done, or the refusal. */
function recalled(response: string | null): CloseResult {
  const stored = JSON.parse(response ?? '{}') as Partial<Refusal>;
  return stored.code === undefined ? 'closed' : { refusal: stored as Refusal };
}
