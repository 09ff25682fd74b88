import {
  type DynamicModule,
  Inject,
  Module,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
  type OnModuleInit,
} from '@nestjs/common';
import { DiscoveryModule, DiscoveryService } from '@nestjs/core';
import { CommandBus } from '@nestjs/cqrs';
import { systemClock } from '#kernel/clock.js';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import type { DutyPlan } from '#platform/duty.js';
import type { Logger } from '#platform/logging.js';
import type { Metrics } from '#platform/metrics.js';
import { CONFIG, LOGGER } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import { type BringsDuties, type BringsMetrics, whoHas } from '#platform/room-hooks.js';
import type { Consumer } from './consumers/consumer.js';
import type { ProcessOptions } from './consumers/handler-process.js';
import { Reactions } from './consumers/reactions.js';
import type { Reactor } from './consumers/reactor.js';
import { CommitHints } from './log/hints.js';
import { forgetEvents } from './log/retention.js';
import { Outbox } from './outbox.js';
import type { BringsRelayTargets, HearsApplied } from './room.js';
import type { OutboxSettings } from './settings.js';

/** Events are kept for days: an hour later or earlier is all the same. */
const FORGET_INTERVAL_MS = 3_600_000;

/** Injection token. */
const OPTIONS = Symbol('OutboxWorkerOptions');

export interface OutboxWorkerOptions {
  consumers: readonly Consumer[];
  reactors: readonly Reactor[];
  /** Where the consumers' processes begin. */
  process: Pick<ProcessOptions, 'entry' | 'execArgv'>;
}

/** The relays of the log and what applies it, for all rooms of a worker. Needs PlatformModule and OutboxModule. */
@Module({})
export class OutboxWorkerModule
  implements OnModuleInit, OnApplicationBootstrap, OnModuleDestroy, BringsDuties, BringsMetrics
{
  #outbox: Outbox;

  constructor(
    @Inject(OPTIONS) private readonly options: OutboxWorkerOptions,
    @Inject(CONFIG) private readonly config: OutboxSettings,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly database: Database,
    private readonly ids: SnowflakeGenerator,
    private readonly hints: CommitHints,
    private readonly commands: CommandBus,
    private readonly discovery: DiscoveryService,
  ) {}

  static with(options: OutboxWorkerOptions): DynamicModule {
    return {
      module: OutboxWorkerModule,
      imports: [DiscoveryModule],
      providers: [{ provide: OPTIONS, useValue: options }],
    };
  }

  onModuleInit(): void {
    const { config, database, ids, logger } = this;
    const { consumers, process, reactors } = this.options;
    const targets = whoHas<BringsRelayTargets>(this.discovery, 'relayTargets').flatMap((room) => room.relayTargets());
    const listeners = whoHas<HearsApplied>(this.discovery, 'applied');
    const onApplied = (consumer: string, merchantIds?: readonly bigint[]): void => {
      for (const listener of listeners) listener.applied(consumer, merchantIds);
    };
    const reactions = reactors.map((reactor) => new Reactions(reactor, this.commands));
    this.#outbox = new Outbox({ config, database, ids, logger, targets, consumers, process, reactions, onApplied });
  }

  duties(): readonly DutyPlan[] {
    const { database, config } = this;
    const round = () => forgetEvents(database, config.eventRetentionDays, systemClock.now());
    return [...this.#outbox.duties, { name: 'forget old events', intervalMs: FORGET_INTERVAL_MS, round }];
  }

  addMetrics(metrics: Metrics): void {
    this.#outbox.addMetrics(metrics);
  }

  async onApplicationBootstrap(): Promise<void> {
    this.hints.listen(() => this.#outbox.hint());
    await this.#outbox.start();
  }

  async onModuleDestroy(): Promise<void> {
    await this.#outbox?.stop(this.config.shutdownGraceMs / 2);
  }
}
