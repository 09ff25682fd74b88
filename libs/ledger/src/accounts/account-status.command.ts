import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { notFound, ProblemError } from '#kernel/problem.js';
import type { Idempotency } from '#platform/idempotency.js';
import type { RequestContext } from '#platform/request-context.js';
import type { Refused } from '../posting/command.js';
import type { PostingReply } from '../posting/posting.js';
import { type KeptRefusal, recalledRefusal } from '../writing/group.js';
import { extended } from '../writing/group-extension.js';
import { Writer } from '../writing/writer.js';
import { AccountDirectory } from './account-directory.js';
import { ACCOUNT_STATUS, type StatusChange } from './account-status.js';
import { isSystemAccount } from './system-accounts.js';

type StatusResult = 'changed' | { refusal: Refused };
export type StatusReply = PostingReply<StatusResult>;

/** Closes an empty account, or opens it again. Throws `not_found`, and `invalid_transition` for a system account. */
export class ChangeAccountStatusCommand extends Command<StatusReply> {
  constructor(
    readonly context: RequestContext,
    readonly accountId: bigint,
    readonly change: StatusChange['kind'],
    readonly idempotency: Idempotency | undefined,
  ) {
    super();
  }
}

@CommandHandler(ChangeAccountStatusCommand)
export class ChangeAccountStatusHandler implements ICommandHandler<ChangeAccountStatusCommand> {
  constructor(
    private readonly writer: Writer,
    private readonly directory: AccountDirectory,
  ) {}

  async execute(command: ChangeAccountStatusCommand): Promise<StatusReply> {
    const { context, accountId, change, idempotency } = command;
    const [account] = await this.directory.find(context.merchantId, [{ id: accountId }], context.deadline);
    if (!account) throw notFound('account');
    if (change === 'close' && isSystemAccount(account)) {
      throw new ProblemError('invalid_transition', `Account ${account.code} is a system account, which never closes.`);
    }
    const { outcome } = await this.writer.post(context, {
      mode: 'single',
      commands: [extended(ACCOUNT_STATUS, { kind: change, accountId })],
      accounts: new Map([[account.id, account]]),
      idempotency,
    });
    if (outcome.kind === 'key_reused') return { result: { refusal: outcome.refused }, replayed: false };
    if (outcome.kind === 'replayed') return { result: recalled(outcome.response), replayed: true };
    const [decision] = outcome.decisions;
    if (!decision) throw new Error('the writer decided nothing');
    return { result: decision.accepted ? 'changed' : { refusal: decision }, replayed: false };
  }
}

/** What the writer stored with the key: nothing but that it was done, or the refusal. */
function recalled(response: string | null): StatusResult {
  const stored = JSON.parse(response ?? '{}') as Partial<KeptRefusal>;
  return stored.code === undefined ? 'changed' : { refusal: recalledRefusal(stored as KeptRefusal) };
}
