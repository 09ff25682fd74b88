import { Module } from '@nestjs/common';
import { FeePlans } from '#fees/fee-plans.js';
import { FeesModule } from '#fees/fees.module.js';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import { SystemAccounts } from '#ledger/accounts/find-system-accounts.js';
import { LedgerModule } from '#ledger/ledger.module.js';
import { Writer } from '#ledger/writing/writer.js';
import { CONFIG } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import type { SettlementSettings } from './settings.js';
import { Settler } from './settler.js';

/** What settles days. Needs PlatformModule, and `AccountDirectory` from a global module. */
@Module({
  imports: [LedgerModule, FeesModule],
  providers: [
    {
      provide: Settler,
      useFactory: (
        config: SettlementSettings,
        database: Database,
        writer: Writer,
        ids: SnowflakeGenerator,
        system: SystemAccounts,
        plans: FeePlans,
      ) => {
        const { settlementChunkEntries: chunkEntries, settlementStepTimeoutMs: stepTimeoutMs } = config;
        return new Settler({ database, writer, ids, system, plans, chunkEntries, stepTimeoutMs });
      },
      inject: [CONFIG, Database, Writer, SnowflakeGenerator, SystemAccounts, FeePlans],
    },
  ],
  exports: [Settler],
})
export class SettlementModule {}
