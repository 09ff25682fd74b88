import { type DynamicModule, Module } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import { BalancesModule } from '#balances/balances.module.js';
import { LedgerModule } from '#ledger/ledger.module.js';
import { writerOptionsOf } from '#ledger/writer-options.js';
import { DeadLettersModule } from '#outbox/dead-letters.module.js';
import { OutboxModule } from '#outbox/outbox.module.js';
import { PlatformModule, type PlatformOptions } from '#platform/platform.module.js';
import { SummariesModule } from '#summaries/summaries.module.js';
import { TenancyModule } from '#tenancy/tenancy.module.js';
import { WebhooksModule } from '#webhooks/webhooks.module.js';
import { AccountsController } from './accounts/accounts.controller.js';
import { CurrenciesController } from './currencies.controller.js';
import { DeadLettersController } from './dead-letters/dead-letters.controller.js';
import { EventsController } from './events/events.controller.js';
import { HealthController } from './health.controller.js';
import { MerchantsController } from './merchants/merchants.controller.js';
import { Pages } from './pages.js';
import { Shutdown } from './shutdown.js';
import { DailySummariesController } from './summaries/daily-summaries.controller.js';
import { TransactionsController } from './transactions/transactions.controller.js';
import { WebhookDeliveriesController, WebhookEndpointsController } from './webhooks/webhooks.controller.js';

export const CONTROLLERS = [
  HealthController,
  CurrenciesController,
  MerchantsController,
  AccountsController,
  TransactionsController,
  DailySummariesController,
  DeadLettersController,
  EventsController,
  WebhookEndpointsController,
  WebhookDeliveriesController,
];

@Module({ controllers: CONTROLLERS, providers: [Pages, Shutdown] })
class ApiModule {}

export function apiModule(platform: PlatformOptions): DynamicModule {
  const imports = [
    CqrsModule.forRoot(),
    PlatformModule.with(platform),
    BalancesModule.with(platform.config),
    OutboxModule.with(platform.config),
    LedgerModule.with(writerOptionsOf(platform.config)),
    TenancyModule,
    SummariesModule,
    DeadLettersModule,
    WebhooksModule,
  ];
  return { module: ApiModule, imports };
}
