import { Module } from '@nestjs/common';
import { FeesModule } from '#fees/fees.module.js';
import { LedgerModule } from '#ledger/ledger.module.js';
import { BankCallbackHandler } from './bank-callback.command.js';
import { PayOutDailyHandler, RequestPayoutHandler, TellPayoutHandler } from './payout.commands.js';
import { GetPayoutHandler, ListPayoutsHandler } from './payout.queries.js';
import { PayoutCounts } from './payout-counts.js';
import { GetPayoutScheduleHandler, SetPayoutScheduleHandler } from './payout-schedule.js';
import { PayoutSubmissions } from './payout-submissions.js';

/** Payouts' commands and queries. Needs PlatformModule, and `AccountDirectory` from a global module. */
@Module({
  imports: [LedgerModule, FeesModule],
  providers: [
    PayoutCounts,
    PayoutSubmissions,
    RequestPayoutHandler,
    PayOutDailyHandler,
    TellPayoutHandler,
    BankCallbackHandler,
    GetPayoutHandler,
    ListPayoutsHandler,
    GetPayoutScheduleHandler,
    SetPayoutScheduleHandler,
  ],
})
export class PayoutsModule {}
