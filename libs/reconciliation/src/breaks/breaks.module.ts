import { Module } from '@nestjs/common';
import { LedgerModule } from '#ledger/ledger.module.js';
import { ActOnBreakHandler } from './act-on-break.command.js';
import { GetBreakHandler, ListBreaksHandler } from './break.queries.js';

/** What people do about breaks. Needs PlatformModule, and `AccountDirectory` from a global module. */
@Module({
  imports: [LedgerModule],
  providers: [ActOnBreakHandler, GetBreakHandler, ListBreaksHandler],
})
export class BreaksModule {}
