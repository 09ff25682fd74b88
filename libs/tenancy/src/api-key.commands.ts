import { Command, CommandHandler, type ICommandHandler, type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { IsNull, LessThan } from 'typeorm';
import { notFound } from '#kernel/problem.js';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import { Entities } from '#platform/entities.js';
import { type Answer, type Answering, IdempotentRequests } from '#platform/idempotency.js';
import { Database } from '#platform/postgres.js';
import type { RequestBounds } from '#platform/request-context.js';
import { generateApiKey } from './api-key.js';
import { Authenticator } from './authenticator.js';
import { ApiKey, Merchant, newApiKey } from './merchant.entity.js';

/** A key and what its owner sends, which is told once. */
export interface IssuedApiKey {
  key: ApiKey;
  secret: string;
}

/** Gives a merchant one more key. Throws `not_found` for an unknown merchant. */
export class IssueApiKeyCommand extends Command<Answer> {
  constructor(
    readonly context: RequestBounds,
    readonly merchantId: bigint,
    readonly answering: Answering<IssuedApiKey>,
  ) {
    super();
  }
}

@CommandHandler(IssueApiKeyCommand)
export class IssueApiKeyHandler implements ICommandHandler<IssueApiKeyCommand> {
  constructor(
    private readonly requests: IdempotentRequests,
    private readonly ids: SnowflakeGenerator,
    private readonly entities: Entities,
  ) {}

  execute({ context, merchantId, answering }: IssueApiKeyCommand): Promise<Answer> {
    const secret = generateApiKey(merchantId);
    const key = newApiKey(merchantId, this.ids.next(), secret);
    return this.requests.answer(merchantId, context, answering, async (client) => {
      const manager = this.entities.in(client);
      if (!(await manager.existsBy(Merchant, { id: merchantId }))) throw notFound('merchant');
      await manager.insert(ApiKey, key);
      return { key, secret };
    });
  }
}

/** Takes a key back, at once here and within API_KEY_CACHE_MS in every process. Twice is once. Throws `not_found`. */
export class RevokeApiKeyCommand extends Command<void> {
  constructor(
    readonly context: RequestBounds,
    readonly merchantId: bigint,
    readonly keyId: bigint,
  ) {
    super();
  }
}

@CommandHandler(RevokeApiKeyCommand)
export class RevokeApiKeyHandler implements ICommandHandler<RevokeApiKeyCommand> {
  constructor(
    private readonly database: Database,
    private readonly entities: Entities,
    private readonly authenticator: Authenticator,
  ) {}

  async execute({ context, merchantId, keyId }: RevokeApiKeyCommand): Promise<void> {
    await this.database.transaction({ merchantIds: [merchantId] }, context.deadline, async (client) => {
      const manager = this.entities.in(client);
      if (!(await manager.existsBy(ApiKey, { merchantId, id: keyId }))) throw notFound('API key');
      await manager.update(ApiKey, { merchantId, id: keyId, revokedAtMs: IsNull() }, { revokedAtMs: () => 'now()' });
    });
    this.authenticator.forget(merchantId);
  }
}

/** A page of a merchant's keys, newest first, revoked ones included; without secrets. Throws `not_found`. */
export class ListApiKeysQuery extends Query<ApiKey[]> {
  constructor(
    readonly context: RequestBounds,
    readonly merchantId: bigint,
    /** Keys older than this one. */
    readonly before: bigint | undefined,
    readonly limit: number,
  ) {
    super();
  }
}

@QueryHandler(ListApiKeysQuery)
export class ListApiKeysHandler implements IQueryHandler<ListApiKeysQuery> {
  constructor(
    private readonly database: Database,
    private readonly entities: Entities,
  ) {}

  async execute({ context, merchantId, before, limit }: ListApiKeysQuery): Promise<ApiKey[]> {
    const where = { merchantId, ...(before !== undefined && { id: LessThan(before) }) };
    return this.database.transaction({ merchantIds: [merchantId] }, context.deadline, async (client) => {
      const manager = this.entities.in(client);
      if (!(await manager.existsBy(Merchant, { id: merchantId }))) throw notFound('merchant');
      return manager.find(ApiKey, { where, order: { id: 'DESC' }, take: limit });
    });
  }
}
