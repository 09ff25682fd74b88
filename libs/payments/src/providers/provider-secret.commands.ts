import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler, type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import type { EntityManager } from 'typeorm';
import { systemClock } from '#kernel/clock.js';
import { invalid, notFound } from '#kernel/problem.js';
import { SnowflakeGenerator, snowflakeTimeMs } from '#kernel/snowflake.js';
import { MerchantLog } from '#outbox/log/append.js';
import { Entities } from '#platform/entities.js';
import { CONFIG } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import { urlRulesOf } from '#platform/public-url.js';
import type { RequestContext } from '#platform/request-context.js';
import { traceparentOf } from '#platform/tracing.js';
import type { PaymentsSettings } from '../settings.js';
import { accountsByProvider, checkAccounts, setAccounts } from './account-store.js';
import { ProviderSecret } from './provider-secret.entity.js';
import { succeed, validAt } from './provider-secrets.js';
import { providerOf } from './providers.js';
import { askedProviders, checkedAccess, setAccess } from './query-store.js';

const HOUR_MS = 3_600_000;

/** A provider that may send webhooks for a merchant. */
export interface ConnectedProvider {
  readonly provider: string;
  /** Valid ones, the current one first. */
  readonly secrets: readonly Pick<ProviderSecret, 'id' | 'createdAtMs' | 'expiresAtMs'>[];
  /** Whether it is asked about payments; a URL that is null is its own. */
  readonly query: { readonly url: string | null } | null;
  /** Those that its reports may be of; null: any. */
  readonly accounts: readonly string[] | null;
}

/**
 * Sets what a provider signs with; the one before stays valid for a while, or until the time that is asked for. The same one again
 * changes nothing but that. Throws `validation_failed`, `invalid_transition`.
 */
export class SetProviderSecretCommand extends Command<ConnectedProvider> {
  constructor(
    readonly context: RequestContext,
    readonly provider: string,
    readonly secret: { readonly text: string; readonly previousUntilMs: number | undefined },
    /** `undefined`: as before. */
    readonly query?: { readonly url?: string | undefined; readonly token: string } | null,
    /** `undefined`: as before. */
    readonly accounts?: readonly string[] | null,
  ) {
    super();
  }
}

@CommandHandler(SetProviderSecretCommand)
export class SetProviderSecretHandler implements ICommandHandler<SetProviderSecretCommand> {
  constructor(
    private readonly database: Database,
    private readonly entities: Entities,
    private readonly ids: SnowflakeGenerator,
    @Inject(CONFIG) private readonly config: PaymentsSettings,
  ) {}

  async execute(command: SetProviderSecretCommand): Promise<ConnectedProvider> {
    const { context, provider, secret, query, accounts } = command;
    const { merchantId, deadline, span } = context;
    const { keyOf, secretForm } = providerOf(provider);
    const key = keyOf(secret.text);
    if (key === undefined) throw invalid('webhook_secret', `must be ${secretForm}`);
    const access = query && checkedAccess(provider, query, urlRulesOf(this.config));
    checkAccounts(provider, accounts);
    const nowMs = systemClock.now();
    const overlapMs = this.config.providerSecretOverlapHours * HOUR_MS;
    const succession = { nowMs, overlapMs, previousUntilMs: secret.previousUntilMs };
    return this.database.transaction({ merchantIds: [merchantId] }, deadline, async (client) => {
      const log = await MerchantLog.lock(client, merchantId);
      const manager = this.entities.in(client);
      // Behind the lock: secrets follow each other as their ids do.
      const id = this.ids.next();
      await refuseTooMany(manager, { merchantId, provider }, this.config.providersPerMerchant);
      if (await succeed(manager, { merchantId, provider, id, key }, succession)) {
        await log.append({
          type: 'provider.secret_changed',
          data: { provider, change: 'set' },
          occurredAtMs: snowflakeTimeMs(id),
          traceContext: traceparentOf(span),
        });
      }
      if (access !== undefined) await setAccess(client, { merchantId, provider }, access ?? undefined);
      if (accounts !== undefined) await setAccounts(client, { merchantId, provider }, accounts);
      const secrets = validAt(await manager.findBy(ProviderSecret, { merchantId, provider }), nowMs);
      const asked = await askedProviders(client, merchantId);
      const named = await accountsByProvider(client, merchantId);
      return { provider, secrets, query: queryOf(asked, provider), accounts: named.get(provider) ?? null };
    });
  }
}

function queryOf(asked: ReadonlyMap<string, string | null>, provider: string): ConnectedProvider['query'] {
  const url = asked.get(provider);
  return url === undefined ? null : { url };
}

async function refuseTooMany(
  manager: EntityManager,
  { merchantId, provider }: { merchantId: bigint; provider: string },
  limit: number,
): Promise<void> {
  const all = await manager.findBy(ProviderSecret, { merchantId });
  const others = new Set(all.map((one) => one.provider).filter((name) => name !== provider));
  if (others.size >= limit) throw invalid('provider', `is one too many: a merchant has at most ${limit} providers`);
}

/** Nothing that the provider signs is taken any more. Throws `not_found`. */
export class DisconnectProviderCommand extends Command<void> {
  constructor(
    readonly context: RequestContext,
    readonly provider: string,
  ) {
    super();
  }
}

@CommandHandler(DisconnectProviderCommand)
export class DisconnectProviderHandler implements ICommandHandler<DisconnectProviderCommand> {
  constructor(
    private readonly database: Database,
    private readonly entities: Entities,
    private readonly ids: SnowflakeGenerator,
  ) {}

  async execute({ context, provider }: DisconnectProviderCommand): Promise<void> {
    const { merchantId, deadline, span } = context;
    await this.database.transaction({ merchantIds: [merchantId] }, deadline, async (client) => {
      const log = await MerchantLog.lock(client, merchantId);
      const { affected } = await this.entities.in(client).delete(ProviderSecret, { merchantId, provider });
      if (!affected) throw notFound('provider');
      await setAccess(client, { merchantId, provider }, undefined);
      await setAccounts(client, { merchantId, provider }, null);
      await log.append({
        type: 'provider.secret_changed',
        data: { provider, change: 'deleted' },
        occurredAtMs: snowflakeTimeMs(this.ids.next()),
        traceContext: traceparentOf(span),
      });
    });
  }
}

/** All of a merchant's; few, by PROVIDERS_PER_MERCHANT. Sorted by name. */
export class ListProvidersQuery extends Query<ConnectedProvider[]> {
  constructor(readonly context: RequestContext) {
    super();
  }
}

@QueryHandler(ListProvidersQuery)
export class ListProvidersHandler implements IQueryHandler<ListProvidersQuery> {
  constructor(
    private readonly database: Database,
    private readonly entities: Entities,
  ) {}

  async execute({ context: { merchantId, deadline } }: ListProvidersQuery): Promise<ConnectedProvider[]> {
    const [all, asked, named] = await this.database.transaction(
      { merchantIds: [merchantId] },
      deadline,
      async (client) => [
        await this.entities.in(client).find(ProviderSecret, {
          select: { merchantId: true, provider: true, id: true, expiresAtMs: true, createdAtMs: true },
          where: { merchantId },
        }),
        await askedProviders(client, merchantId),
        await accountsByProvider(client, merchantId),
      ],
    );
    return [...Map.groupBy(validAt(all, systemClock.now()), (secret) => secret.provider)]
      .map(([provider, secrets]) => ({
        provider,
        secrets,
        query: queryOf(asked, provider),
        accounts: named.get(provider) ?? null,
      }))
      .sort((one, other) => (one.provider < other.provider ? -1 : 1));
  }
}
