import { Module } from '@nestjs/common';
import { LedgerModule } from '#ledger/ledger.module.js';
import { ChangePaymentHandler, OpenPaymentHandler } from './payment.commands.js';
import { GetPaymentHandler, ListPaymentsHandler } from './payment.queries.js';
import { PaymentSubmissions } from './payment-submissions.js';
import { ProvidersModule } from './providers/providers.module.js';
import { RecordFactsHandler } from './record-facts.command.js';
import { ExpirePaymentHandler, SettleParkedFactHandler } from './timers/timer.commands.js';

/** Payments' commands and queries. Needs PlatformModule, and `AccountDirectory` from a global module. */
@Module({
  imports: [LedgerModule, ProvidersModule],
  providers: [
    PaymentSubmissions,
    OpenPaymentHandler,
    ChangePaymentHandler,
    RecordFactsHandler,
    GetPaymentHandler,
    ListPaymentsHandler,
    ExpirePaymentHandler,
    SettleParkedFactHandler,
  ],
})
export class PaymentsModule {}
