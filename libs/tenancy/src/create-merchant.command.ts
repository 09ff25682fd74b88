import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { SnowflakeGenerator, snowflakeTimeMs } from '#kernel/snowflake.js';
import { insertAccounts, type NewAccount } from '#ledger/account-store.js';
import { systemAccounts } from '#ledger/system-accounts.js';
import { MerchantLog } from '#outbox/log/append.js';
import { type Answer, type Answering, IdempotentRequests, PLATFORM_TENANT } from '#platform/idempotency.js';
import type { TransactionClient } from '#platform/postgres.js';
import type { RequestBounds } from '#platform/request-context.js';
import { traceparentOf } from '#platform/tracing.js';
import { generateApiKey, hintOf, sha256 } from './api-key.js';
import { TimeZones } from './time-zones.js';

export interface NewMerchant {
  name: string;
  /** IANA name. */
  timeZone: string;
  /** `HH:MM`. */
  settlementCutoff: string;
  /** ISO 4217, unique, at least one. */
  currencies: readonly string[];
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

const INSERT_MERCHANT = `
INSERT INTO merchants (id, name, time_zone, settlement_cutoff, currencies, created_at)
VALUES ($1, $2, $3, $4::time, $5::text[], snowflake_time($1))`;

const INSERT_API_KEY = `
INSERT INTO api_keys (merchant_id, id, secret_sha256, hint, created_at) VALUES ($1, $2, $3, $4, snowflake_time($2))`;

@CommandHandler(CreateMerchantCommand)
export class CreateMerchantHandler implements ICommandHandler<CreateMerchantCommand> {
  constructor(
    private readonly requests: IdempotentRequests,
    private readonly ids: SnowflakeGenerator,
    private readonly zones: TimeZones,
  ) {}

  async execute({ context, merchant, answering }: CreateMerchantCommand): Promise<Answer> {
    await this.zones.check(merchant.timeZone, context.deadline);
    const id = this.ids.next();
    const accounts = systemAccounts(merchant.currencies, () => this.ids.next());
    const apiKey = { id: this.ids.next(), secret: generateApiKey(id) };
    const create = async (client: TransactionClient): Promise<CreatedMerchant> => {
      const log = await MerchantLog.lock(client, id);
      await insertMerchant(client, id, merchant);
      await insertAccounts(client, log, accounts, traceparentOf(context.span));
      await insertApiKey(client, id, apiKey);
      return { ...merchant, id, createdAtMs: snowflakeTimeMs(id), accounts, apiKey };
    };
    // A key of the merchant's own could not be found again: the next try would make another merchant.
    return this.requests.answer(id, context, answering, create, PLATFORM_TENANT);
  }
}

async function insertMerchant(client: TransactionClient, id: bigint, merchant: NewMerchant): Promise<void> {
  const { name, timeZone, settlementCutoff, currencies } = merchant;
  await client.query({ text: INSERT_MERCHANT, values: [id, name, timeZone, settlementCutoff, currencies] });
}

export async function insertApiKey(
  client: TransactionClient,
  merchantId: bigint,
  key: { id: bigint; secret: string },
): Promise<void> {
  await client.query({ text: INSERT_API_KEY, values: [merchantId, key.id, sha256(key.secret), hintOf(key.secret)] });
}
