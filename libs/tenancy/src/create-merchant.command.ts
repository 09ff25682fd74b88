import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { SnowflakeGenerator, snowflakeTimeMs } from '#kernel/snowflake.js';
import { insertAccounts, type NewAccount } from '#ledger/account-store.js';
import { systemAccounts } from '#ledger/system-accounts.js';
import { Database, type TransactionClient } from '#platform/postgres.js';
import type { RequestBounds } from '#platform/request-context.js';
import { inSpan, startChild, traceparentOf } from '#platform/tracing.js';
import { generateApiKey, hintOf, sha256 } from './api-key.js';

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

/** Opens a merchant with its system accounts and its first API key: all of it or nothing. */
export class CreateMerchantCommand extends Command<CreatedMerchant> {
  constructor(
    readonly bounds: RequestBounds,
    readonly merchant: NewMerchant,
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
    private readonly database: Database,
    private readonly ids: SnowflakeGenerator,
  ) {}

  async execute({ bounds, merchant }: CreateMerchantCommand): Promise<CreatedMerchant> {
    const id = this.ids.next();
    const accounts = systemAccounts(merchant.currencies, () => this.ids.next());
    const apiKey = { id: this.ids.next(), secret: generateApiKey(id) };
    const span = startChild(bounds.span, 'tenancy create merchant');
    await inSpan(span, () =>
      this.database.transaction({ merchantIds: [id] }, bounds.deadline, async (client) => {
        await insertMerchant(client, id, merchant);
        await insertAccounts(client, id, accounts, traceparentOf(bounds.span));
        await insertApiKey(client, id, apiKey);
      }),
    );
    return { ...merchant, id, createdAtMs: snowflakeTimeMs(id), accounts, apiKey };
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
