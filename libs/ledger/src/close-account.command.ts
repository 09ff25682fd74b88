import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { LedgerError, notFound } from '#kernel/problem.js';
import type { RequestContext } from '#platform/request-context.js';
import { AccountDirectory } from './account-directory.js';
import { PostingDesk } from './posting.js';

/** Closes an empty account. Throws `not_found`, `invalid_transition`. */
export class CloseAccountCommand extends Command<void> {
  constructor(
    readonly context: RequestContext,
    readonly accountId: bigint,
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

  async execute({ context, accountId }: CloseAccountCommand): Promise<void> {
    const [account] = await this.directory.find(context.merchantId, [{ id: accountId }], context.deadline);
    if (!account) throw notFound('account');
    const { outcome } = await this.desk.submit(context, {
      mode: 'single',
      commands: [{ kind: 'close', accountId }],
      accounts: new Map([[account.id, account]]),
      idempotency: undefined,
    });
    const decision = outcome.kind === 'decided' ? outcome.decisions[0] : undefined;
    if (decision && !decision.accepted) throw new LedgerError(decision.code, decision.detail);
  }
}
