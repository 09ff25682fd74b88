import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { invalid } from '#kernel/problem.js';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import { Database, isUniqueViolation } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import { inSpan, startChild, traceparentOf } from '#platform/tracing.js';
import { insertAccounts, type NewAccount } from './account-store.js';
import { isReservedCode } from './system-accounts.js';

/** Opens an account. Answers its id; a code that is taken or reserved is `validation_failed`. */
export class CreateAccountCommand extends Command<bigint> {
  constructor(
    readonly context: RequestContext,
    readonly account: Omit<NewAccount, 'id'>,
  ) {
    super();
  }
}

@CommandHandler(CreateAccountCommand)
export class CreateAccountHandler implements ICommandHandler<CreateAccountCommand> {
  constructor(
    private readonly database: Database,
    private readonly ids: SnowflakeGenerator,
  ) {}

  async execute({ context, account }: CreateAccountCommand): Promise<bigint> {
    const { merchantId, deadline } = context;
    if (isReservedCode(account.code)) throw invalid('code', 'is reserved for the system accounts');
    const id = this.ids.next();
    const span = startChild(context.span, 'ledger create account');
    try {
      await inSpan(span, () =>
        this.database.transaction({ merchantIds: [merchantId] }, deadline, (client) =>
          insertAccounts(client, merchantId, [{ ...account, id }], traceparentOf(context.span)),
        ),
      );
    } catch (error) {
      if (isUniqueViolation(error, 'accounts_merchant_id_code_key'))
        throw invalid('code', 'is the code of another account');
      throw error;
    }
    return id;
  }
}
