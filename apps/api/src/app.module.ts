import { type DynamicModule, Module } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import { OutboxModule } from '#outbox/outbox.module.js';
import { ListJobsHandler } from '#platform/job.queries.js';
import { PlatformModule, type PlatformOptions } from '#platform/platform.module.js';
import { modulesOf, ROOMS } from '../../rooms.js';
import { AccountsController } from './accounts/accounts.controller.js';
import { CurrenciesController } from './currencies.controller.js';
import { DeadLettersController } from './dead-letters/dead-letters.controller.js';
import { EventsController } from './events/events.controller.js';
import { FeePlansController, MerchantFeePlanController } from './fees/fee-plans.controller.js';
import { HealthController } from './health.controller.js';
import { JobsController } from './jobs/jobs.controller.js';
import { MerchantLimitsController } from './merchants/limits.controller.js';
import { MerchantsController } from './merchants/merchants.controller.js';
import { OperatorKeysController } from './operator-keys/operator-keys.controller.js';
import { Pages } from './pages.js';
import { PaymentsController } from './payments/payments.controller.js';
import { ProviderEventsController } from './payments/provider-events.controller.js';
import { BankCallbacksController } from './payouts/bank-callbacks.controller.js';
import { PayoutScheduleController } from './payouts/payout-schedule.controller.js';
import { PayoutsController } from './payouts/payouts.controller.js';
import { ProviderWebhookController } from './providers/provider-webhook.controller.js';
import { ProvidersController } from './providers/providers.controller.js';
import { QueueViews } from './queue-views.js';
import { BreaksController } from './reconciliations/breaks.controller.js';
import { ProposalsController } from './reconciliations/proposals.controller.js';
import { ReconciliationsController } from './reconciliations/reconciliations.controller.js';
import { ReportExportController } from './reconciliations/report-export.controller.js';
import { SettlementRunsController } from './settlements/settlement-runs.controller.js';
import { SettlementsController } from './settlements/settlements.controller.js';
import { Shutdown } from './shutdown.js';
import { DailySummariesController } from './summaries/daily-summaries.controller.js';
import { TransactionsController } from './transactions/transactions.controller.js';
import { UsageController } from './usage/usage.controller.js';
import { WebhookDeliveriesController, WebhookEndpointsController } from './webhooks/webhooks.controller.js';

export const CONTROLLERS = [
  HealthController,
  CurrenciesController,
  MerchantsController,
  MerchantLimitsController,
  UsageController,
  OperatorKeysController,
  ProposalsController,
  BreaksController,
  ReportExportController,
  FeePlansController,
  MerchantFeePlanController,
  AccountsController,
  TransactionsController,
  PaymentsController,
  ProviderEventsController,
  PayoutsController,
  PayoutScheduleController,
  BankCallbacksController,
  DailySummariesController,
  DeadLettersController,
  JobsController,
  EventsController,
  WebhookEndpointsController,
  WebhookDeliveriesController,
  ProvidersController,
  ProviderWebhookController,
  SettlementRunsController,
  SettlementsController,
  ReconciliationsController,
];

@Module({ controllers: CONTROLLERS, providers: [Pages, Shutdown, QueueViews, ListJobsHandler] })
class ApiModule {}

export async function apiModule(platform: PlatformOptions): Promise<DynamicModule> {
  const imports = [DiscoveryModule, PlatformModule.with(platform), OutboxModule, ...(await modulesOf(ROOMS, 'module'))];
  return { module: ApiModule, imports };
}
