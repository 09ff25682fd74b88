import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { assignFirstPlan } from '#fees/assignments.js';
import { SnowflakeGenerator, snowflakeTimeMs } from '#kernel/snowflake.js';
import { insertAccounts, type NewAccount } from '#ledger/accounts/account-store.js';
import { systemAccounts } from '#ledger/accounts/system-accounts.js';
import { MerchantLog } from '#outbox/log/append.js';
import { Entities } from '#platform/entities.js';
import { type Answer, type Answering, IdempotentRequests, PLATFORM_TENANT } from '#platform/idempotency.js';
import type { TransactionClient } from '#platform/postgres.js';
import type { RequestBounds } from '#platform/request-context.js';
import { traceparentOf } from '#platform/tracing.js';
import { beginCalendar } from '#settlement/due-days.js';
import { generateApiKey } from './api-key.js';
import { ApiKey, Merchant, newApiKey } from './merchant.entity.js';
import { TimeZones } from './time-zones.js';

export interface NewMerchant {
  name: string;
  /** IANA name. */
  timeZone: string;
  /** `HH:MM`. */
  settlementCutoff: string;
  /** ISO 4217, unique, at least one. */
  currencies: readonly string[];
  feePlanId: bigint | undefined;
}

export interface CreatedMerchant extends NewMerchant {
  id: bigint;
  createdAtMs: number;
  accounts: NewAccount[];
  /** The only time that the secret is told. */
  apiKey: { id: bigint; secret: string };
}

/** Opens a merchant with its system accounts and its first API key: all of it or nothing. Throws `validation_failed`. */
export class CreateMerchantCommand extends Command<Answer> {
  constructor(
    readonly context: RequestBounds,
    readonly merchant: NewMerchant,
    readonly answering: Answering<CreatedMerchant>,
  ) {
    super();
  }
}

@CommandHandler(CreateMerchantCommand)
export class CreateMerchantHandler implements ICommandHandler<CreateMerchantCommand> {
  constructor(
    private readonly requests: IdempotentRequests,
    private readonly ids: SnowflakeGenerator,
    private readonly zones: TimeZones,
    private readonly entities: Entities,
  ) {}

  async execute({ context, merchant, answering }: CreateMerchantCommand): Promise<Answer> {
    await this.zones.check(merchant.timeZone, context.deadline);
    const id = this.ids.next();
    const accounts = systemAccounts(merchant.currencies, () => this.ids.next());
    const apiKey = { id: this.ids.next(), secret: generateApiKey(id) };
    const create = async (client: TransactionClient): Promise<CreatedMerchant> => {
      const log = await MerchantLog.lock(client, id);
      const manager = this.entities.in(client);
      const createdAtMs = snowflakeTimeMs(id);
      await manager.insert(Merchant, { ...merchant, currencies: [...merchant.currencies], id, createdAtMs });
      if (merchant.feePlanId !== undefined) await assignFirstPlan(manager, id, merchant.feePlanId);
      await beginCalendar(client, id);
      await insertAccounts(client, log, accounts, traceparentOf(context.span));
      await manager.insert(ApiKey, newApiKey(id, apiKey.id, apiKey.secret));
      return { ...merchant, id, createdAtMs, accounts, apiKey };
    };
    // A key of the merchant's own could not be found again: the next try would make another merchant.
    return this.requests.answer(id, context, answering, create, PLATFORM_TENANT);
  }
}
