import { Module } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { TypeOrmModule } from '@nestjs/typeorm';
import { labelled, type Metrics } from '#platform/metrics.js';
import { CONFIG } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import type { BringsMetrics } from '#platform/room-hooks.js';
import { RecordFactsCommand } from '../record-facts.command.js';
import type { PaymentsSettings } from '../settings.js';
import { Inbox } from './inbox.js';
import {
  DisconnectProviderHandler,
  ListProvidersHandler,
  SetProviderSecretHandler,
} from './provider-secret.commands.js';
import { ProviderSecret } from './provider-secret.entity.js';
import { ReceiveWebhookHandler } from './receive-webhook.command.js';
import { WebhookCounts } from './webhook-counts.js';

/** What providers sign with, and what they send. Needs PlatformModule. */
@Module({
  imports: [TypeOrmModule.forFeature([ProviderSecret])],
  providers: [
    WebhookCounts,
    {
      provide: Inbox,
      useFactory: (database: Database, commands: CommandBus, config: PaymentsSettings) =>
        new Inbox(
          database,
          async (context, facts) => (await commands.execute(new RecordFactsCommand(context, facts))).outcomes,
          { clockSkewMs: config.providerClockSkewMs },
        ),
      inject: [Database, CommandBus, CONFIG],
    },
    SetProviderSecretHandler,
    DisconnectProviderHandler,
    ListProvidersHandler,
    ReceiveWebhookHandler,
  ],
  exports: [Inbox],
})
export class ProvidersModule implements BringsMetrics {
  constructor(
    private readonly inbox: Inbox,
    private readonly webhooks: WebhookCounts,
  ) {}

  addMetrics(metrics: Metrics): void {
    metrics.counter(
      'counterfoil_provider_webhooks_total',
      'Webhooks of payment providers by what came of them: accepted (kept); unsigned; wrong_signature; stale.',
      () => this.webhooks.reading(),
    );
    metrics.counter(
      'counterfoil_provider_facts_total',
      'What was told in them by what became of it here; undeliverable: a body that is signed and cannot be read.',
      () => labelled('outcome', this.inbox.counts),
    );
  }
}
