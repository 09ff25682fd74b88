import { Module } from '@nestjs/common';
import { LedgerModule } from '#ledger/ledger.module.js';
import { ActOnBreakHandler } from './act-on-break.command.js';
import { GetBreakHandler, ListBreaksHandler } from './break.queries.js';
import { ProposeManyHandler } from './propose-many.command.js';

/** What people do about breaks. Needs PlatformModule, and `AccountDirectory` from a global module. */
@Module({
  imports: [LedgerModule],
  providers: [ActOnBreakHandler, ProposeManyHandler, GetBreakHandler, ListBreaksHandler],
})
export class BreaksModule {}
