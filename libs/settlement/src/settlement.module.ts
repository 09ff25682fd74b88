import { Module } from '@nestjs/common';
import { FeePlans } from '#fees/fee-plans.js';
import { FeesModule } from '#fees/fees.module.js';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import { SystemAccounts } from '#ledger/accounts/find-system-accounts.js';
import { LedgerModule } from '#ledger/ledger.module.js';
import { Writer } from '#ledger/writing/writer.js';
import { CONFIG } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import {
  GetSettlementHandler,
  ListSettlementLinesHandler,
  ListSettlementsHandler,
} from './reading/settlement.queries.js';
import { NightQueue } from './runs/night-queue.js';
import { GetRunHandler, ListRunsHandler } from './runs/run.queries.js';
import { StartRunHandler } from './runs/start-run.command.js';
import type { SettlementSettings } from './settings.js';
import { Settler } from './settler.js';

const RUNS = [NightQueue, StartRunHandler, GetRunHandler, ListRunsHandler];
const READING = [GetSettlementHandler, ListSettlementsHandler, ListSettlementLinesHandler];

/** What settles days, and has it done. Needs PlatformModule, and `AccountDirectory` from a global module. */
@Module({
  imports: [LedgerModule, FeesModule],
  providers: [
    ...RUNS,
    ...READING,
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
  exports: [Settler, NightQueue],
})
export class SettlementModule {}
