import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { LedgerError, notFound } from '#kernel/problem.js';
import type { RequestContext } from '#platform/request-context.js';
import { AccountDirectory } from './account-directory.js';
import { PostingDesk } from './posting.js';
import { isSystemAccount } from './system-accounts.js';

/** Closes an empty account, or opens it again. Throws `not_found`, `invalid_transition`. */
export class ChangeAccountStatusCommand extends Command<void> {
  constructor(
    readonly context: RequestContext,
    readonly accountId: bigint,
    readonly change: 'close' | 'reopen',
  ) {
    super();
  }
}

@CommandHandler(ChangeAccountStatusCommand)
export class ChangeAccountStatusHandler implements ICommandHandler<ChangeAccountStatusCommand> {
  constructor(
    private readonly desk: PostingDesk,
    private readonly directory: AccountDirectory,
  ) {}

  async execute({ context, accountId, change }: ChangeAccountStatusCommand): Promise<void> {
    const [account] = await this.directory.find(context.merchantId, [{ id: accountId }], context.deadline);
    if (!account) throw notFound('account');
    if (change === 'close' && isSystemAccount(account)) {
      throw new LedgerError('invalid_transition', `Account ${account.code} is a system account, which never closes.`);
    }
    const { outcome } = await this.desk.submit(context, {
      mode: 'single',
      commands: [{ kind: change, accountId }],
      accounts: new Map([[account.id, account]]),
      idempotency: undefined,
    });
    const decision = outcome.kind === 'decided' ? outcome.decisions[0] : undefined;
    if (decision && !decision.accepted) throw new LedgerError(decision.code, decision.detail);
  }
}
