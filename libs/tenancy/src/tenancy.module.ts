import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { ClientAddresses } from '#platform/client-address.js';
import type { Metrics } from '#platform/metrics.js';
import { CONFIG } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import type { BringsMetrics } from '#platform/room-hooks.js';
import { IssueApiKeyHandler, ListApiKeysHandler, RevokeApiKeyHandler } from './api-key.commands.js';
import { Authenticator } from './authenticator.js';
import { CreateMerchantHandler } from './create-merchant.command.js';
import { ApiKey, Merchant } from './merchant.entity.js';
import { GetMerchantHandler, ListMerchantsHandler } from './merchant.queries.js';
import { IssueOperatorKeyHandler, ListOperatorKeysHandler, RevokeOperatorKeyHandler } from './operator-key.commands.js';
import { OperatorKey } from './operator-key.entity.js';
import type { TenancySettings } from './settings.js';
import { addStrangerMetrics } from './stranger-metrics.js';
import { Strangers } from './strangers.js';
import { TimeZones } from './time-zones.js';
import { UpdateMerchantHandler } from './update-merchant.command.js';

/** Merchants and their keys. Needs PlatformModule. */
@Module({
  imports: [TypeOrmModule.forFeature([Merchant, ApiKey, OperatorKey])],
  providers: [
    CreateMerchantHandler,
    UpdateMerchantHandler,
    { provide: TimeZones, useFactory: (database: Database) => new TimeZones(database), inject: [Database] },
    IssueApiKeyHandler,
    RevokeApiKeyHandler,
    ListApiKeysHandler,
    IssueOperatorKeyHandler,
    RevokeOperatorKeyHandler,
    ListOperatorKeysHandler,
    GetMerchantHandler,
    ListMerchantsHandler,
    { provide: Strangers, useFactory: strangersOf, inject: [CONFIG] },
    {
      provide: Authenticator,
      useFactory: (database: Database, strangers: Strangers, config: TenancySettings) =>
        new Authenticator(
          { database, strangers },
          { operatorKeys: config.counterfoilOperatorKey ?? [], cacheMs: config.apiKeyCacheMs },
        ),
      inject: [Database, Strangers, CONFIG],
    },
  ],
  exports: [Authenticator, Strangers],
})
export class TenancyModule implements BringsMetrics {
  constructor(private readonly strangers: Strangers) {}

  addMetrics(metrics: Metrics): void {
    addStrangerMetrics(metrics, this.strangers);
  }
}

function strangersOf(config: TenancySettings): Strangers {
  return new Strangers({
    addresses: new ClientAddresses(config.trustedProxies),
    failuresPerSecond: config.authFailuresPerSecond,
    failuresBurst: config.authFailuresBurst,
    failuresInAllPerSecond: config.authFailuresInAllPerSecond,
    lookups: config.authLookups,
    lookupsWaiting: config.authLookupsWaiting,
    lookupsWaitingInAll: config.authLookupsWaitingInAll,
  });
}
