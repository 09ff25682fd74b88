import { Command, CommandHandler, type ICommandHandler, type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource, IsNull } from 'typeorm';
import { notFound } from '#kernel/problem.js';
import { SnowflakeGenerator, snowflakeTimeMs } from '#kernel/snowflake.js';
import { type Answer, type Answering, IdempotentRequests } from '#platform/idempotency.js';
import type { RequestBounds } from '#platform/request-context.js';
import { withEntities } from '#platform/scoped-entities.js';
import { generateApiKey, hintOf, sha256 } from './api-key.js';
import { Authenticator } from './authenticator.js';
import { insertApiKey } from './create-merchant.command.js';
import { ApiKey, Merchant } from './merchant.entity.js';

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
  ) {}

  execute({ context, merchantId, answering }: IssueApiKeyCommand): Promise<Answer> {
    const secret = generateApiKey(merchantId);
    const id = this.ids.next();
    const createdAt = new Date(snowflakeTimeMs(id));
    const key = { merchantId, id, secretSha256: sha256(secret), hint: hintOf(secret), createdAt, revokedAt: null };
    return this.requests.answer(merchantId, context, answering, async (client) => {
      const { rowCount } = await client.query({ text: 'SELECT FROM merchants WHERE id = $1', values: [merchantId] });
      if (rowCount === 0) throw notFound('merchant');
      await insertApiKey(client, merchantId, { id, secret });
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
    @InjectDataSource() private readonly source: DataSource,
    private readonly authenticator: Authenticator,
  ) {}

  async execute({ context, merchantId, keyId }: RevokeApiKeyCommand): Promise<void> {
    await withEntities(this.source, { merchantIds: [merchantId] }, context.deadline, async (manager) => {
      if (!(await manager.existsBy(ApiKey, { merchantId, id: keyId }))) throw notFound('API key');
      await manager.update(ApiKey, { merchantId, id: keyId, revokedAt: IsNull() }, { revokedAt: () => 'now()' });
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
  constructor(@InjectDataSource() private readonly source: DataSource) {}

  async execute({ context, merchantId, before, limit }: ListApiKeysQuery): Promise<ApiKey[]> {
    return withEntities(this.source, { merchantIds: [merchantId] }, context.deadline, async (manager) => {
      if (!(await manager.existsBy(Merchant, { id: merchantId }))) throw notFound('merchant');
      const query = manager
        .createQueryBuilder(ApiKey, 'k')
        .where('k.merchantId = :merchantId', { merchantId: String(merchantId) });
      if (before !== undefined) query.andWhere('k.id < :before', { before: String(before) });
      return query.orderBy('k.id', 'DESC').limit(limit).getMany();
    });
  }
}
