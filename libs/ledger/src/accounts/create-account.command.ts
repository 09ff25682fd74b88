import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { invalid } from '#kernel/problem.js';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import { MerchantLog } from '#outbox/log/append.js';
import { type Answer, type Answering, IdempotentRequests } from '#platform/idempotency.js';
import { isUniqueViolation } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import { traceparentOf } from '#platform/tracing.js';
import { insertAccounts, type NewAccount } from './account-store.js';
import { isReservedCode } from './system-accounts.js';

/** Opens an account. A code that is taken or reserved is `validation_failed`. */
export class CreateAccountCommand extends Command<Answer> {
  constructor(
    readonly context: RequestContext,
    readonly account: Omit<NewAccount, 'id'>,
    readonly answering: Answering<NewAccount>,
  ) {
    super();
  }
}

@CommandHandler(CreateAccountCommand)
export class CreateAccountHandler implements ICommandHandler<CreateAccountCommand> {
  constructor(
    private readonly requests: IdempotentRequests,
    private readonly ids: SnowflakeGenerator,
  ) {}

  async execute({ context, account, answering }: CreateAccountCommand): Promise<Answer> {
    const { merchantId } = context;
    if (isReservedCode(account.code)) throw invalid('code', 'is reserved for the system accounts');
    const opened = { ...account, id: this.ids.next() };
    try {
      return await this.requests.answer(merchantId, context, answering, async (client) => {
        const log = await MerchantLog.lock(client, merchantId);
        await insertAccounts(client, log, [opened], traceparentOf(context.span));
        return opened;
      });
    } catch (error) {
      if (isUniqueViolation(error, 'accounts_merchant_id_code_key'))
        throw invalid('code', 'is the code of another account');
      throw error;
    }
  }
}
