import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { CONFIG } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import { IssueApiKeyHandler, ListApiKeysHandler, RevokeApiKeyHandler } from './api-key.commands.js';
import { Authenticator } from './authenticator.js';
import { CreateMerchantHandler } from './create-merchant.command.js';
import { ApiKey, Merchant } from './merchant.entity.js';
import { GetMerchantHandler, ListMerchantsHandler } from './merchant.queries.js';
import { IssueOperatorKeyHandler, ListOperatorKeysHandler, RevokeOperatorKeyHandler } from './operator-key.commands.js';
import { OperatorKey } from './operator-key.entity.js';
import type { TenancySettings } from './settings.js';
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
    {
      provide: Authenticator,
      useFactory: (database: Database, config: TenancySettings) =>
        new Authenticator(database, {
          operatorKeys: config.counterfoilOperatorKey ?? [],
          cacheMs: config.apiKeyCacheMs,
        }),
      inject: [Database, CONFIG],
    },
  ],
  exports: [Authenticator],
})
export class TenancyModule {}
