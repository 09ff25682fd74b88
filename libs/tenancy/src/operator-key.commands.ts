import { Command, CommandHandler, type ICommandHandler, type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { type EntityManager, LessThan } from 'typeorm';
import { invalid, notFound, ProblemError } from '#kernel/problem.js';
import { SnowflakeGenerator, snowflakeTimeMs } from '#kernel/snowflake.js';
import { foldedText } from '#kernel/text.js';
import { among } from '#platform/columns.js';
import { Entities } from '#platform/entities.js';
import { type Answer, type Answering, IdempotentRequests, PLATFORM_TENANT } from '#platform/idempotency.js';
import { Database, isUniqueViolation } from '#platform/postgres.js';
import type { RequestBounds } from '#platform/request-context.js';
import { generateOperatorKey, sha256 } from './api-key.js';
import { Authenticator } from './authenticator.js';
import { ENVIRONMENT, isSameOperator, type Operator, responsibleFor } from './operator.js';
import { OperatorKey } from './operator-key.entity.js';

/** Indexes by which a name has one valid key, however it is written. */
const NAMES = ['operator_keys_name', 'operator_keys_identity'];

/** A key and what its owner sends, which is told once. */
export interface IssuedOperatorKey {
  key: OperatorKey;
  secret: string;
}

/** Gives an operator of the name a key. A name that has a valid one, or is the environment’s, is `validation_failed`. */
export class IssueOperatorKeyCommand extends Command<Answer> {
  constructor(
    readonly context: RequestBounds,
    readonly issuer: Operator,
    readonly name: string,
    readonly answering: Answering<IssuedOperatorKey>,
  ) {
    super();
  }
}

@CommandHandler(IssueOperatorKeyCommand)
export class IssueOperatorKeyHandler implements ICommandHandler<IssueOperatorKeyCommand> {
  constructor(
    private readonly requests: IdempotentRequests,
    private readonly ids: SnowflakeGenerator,
    private readonly entities: Entities,
  ) {}

  async execute({ context, issuer, name, answering }: IssueOperatorKeyCommand): Promise<Answer> {
    if (isSameOperator(name, ENVIRONMENT)) throw invalid('name', 'is the name of the keys of the environment');
    const secret = generateOperatorKey();
    const key = newOperatorKey(this.ids.next(), { name, secret, issuer });
    try {
      return await this.requests.answer(PLATFORM_TENANT, context, answering, async (client) => {
        const manager = this.entities.in(client);
        await lockKeys(manager, issuer);
        await manager.insert(OperatorKey, key);
        return { key, secret };
      });
    } catch (error) {
      if (NAMES.some((index) => isUniqueViolation(error, index))) {
        throw invalid('name', 'has a valid key already, perhaps written otherwise: revoke that one first');
      }
      throw error;
    }
  }
}

/**
 * Takes an operator's key back, at once here and within API_KEY_CACHE_MS in every process; its own, too. Twice is once. Throws
 * `not_found`; the environment's keys are no rows.
 */
export class RevokeOperatorKeyCommand extends Command<void> {
  constructor(
    readonly context: RequestBounds,
    readonly revoker: Operator,
    readonly keyId: bigint,
  ) {
    super();
  }
}

@CommandHandler(RevokeOperatorKeyCommand)
export class RevokeOperatorKeyHandler implements ICommandHandler<RevokeOperatorKeyCommand> {
  constructor(
    private readonly database: Database,
    private readonly entities: Entities,
    private readonly authenticator: Authenticator,
  ) {}

  async execute({ context, revoker, keyId }: RevokeOperatorKeyCommand): Promise<void> {
    await this.database.transaction('platform', context.deadline, async (client) => {
      const manager = this.entities.in(client);
      const locked = await lockKeys(manager, revoker, keyId);
      const key = locked.find(({ id }) => id === keyId);
      if (!key) throw notFound('operator key');
      if (key.revokedAtMs !== null) return;
      await manager.update(OperatorKey, { id: keyId }, { revokedAtMs: () => 'now()', revokedBy: revoker.name });
    });
    this.authenticator.forgetOperator(keyId);
  }
}

/** A page of operators' keys, newest first, revoked ones included; without secrets, and without those of the environment. */
export class ListOperatorKeysQuery extends Query<OperatorKey[]> {
  constructor(
    readonly context: RequestBounds,
    /** Keys older than this one. */
    readonly before: bigint | undefined,
    readonly limit: number,
  ) {
    super();
  }
}

@QueryHandler(ListOperatorKeysQuery)
export class ListOperatorKeysHandler implements IQueryHandler<ListOperatorKeysQuery> {
  constructor(
    private readonly database: Database,
    private readonly entities: Entities,
  ) {}

  execute({ context, before, limit }: ListOperatorKeysQuery): Promise<OperatorKey[]> {
    const where = before === undefined ? {} : { id: LessThan(before) };
    return this.database.transaction('platform', context.deadline, (client) =>
      this.entities.in(client).find(OperatorKey, { where, order: { id: 'DESC' }, take: limit }),
    );
  }
}

function newOperatorKey(id: bigint, of: { name: string; secret: string; issuer: Operator }): OperatorKey {
  const { name, secret, issuer } = of;
  return {
    id,
    createdAtMs: snowflakeTimeMs(id),
    name,
    identity: foldedText(name),
    secretSha256: sha256(secret),
    createdBy: issuer.name,
    responsible: responsibleFor(name, issuer),
    revokedAtMs: null,
    revokedBy: null,
  };
}

/**
 * The asker's key and another one, in the order of their ids, locked: a process trusts a revoked key for seconds, which must not be
 * enough to issue itself another one. Throws `unauthorized`.
 */
async function lockKeys(manager: EntityManager, asker: Operator, ...others: bigint[]): Promise<OperatorKey[]> {
  const ids = asker.keyId === null ? others : [...others, asker.keyId];
  if (ids.length === 0) return [];
  const lock = { mode: 'pessimistic_write' } as const;
  const locked = await manager.find(OperatorKey, { where: { id: among(ids) }, order: { id: 'ASC' }, lock });
  const own = locked.find(({ id }) => id === asker.keyId);
  if (asker.keyId === null || own?.revokedAtMs === null) return locked;
  throw new ProblemError('unauthorized', 'The API key is not valid, or has been revoked.');
}
