import { setTimeout as sleep } from 'node:timers/promises';
import { type DynamicModule, Global, Inject, Module, type OnApplicationShutdown } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import { systemClock } from '#kernel/clock.js';
import { ProblemError } from '#kernel/problem.js';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import { observedCqrs } from './buses.js';
import { CursorCodec } from './cursor.js';
import { Entities } from './entities.js';
import { IdempotentRequests } from './idempotency.js';
import { logOutput } from './log-output.js';
import type { Logger } from './logging.js';
import { MerchantWeights } from './merchant-weights.js';
import { labelled, type Metrics } from './metrics.js';
import { Database } from './postgres.js';
import type { BringsMetrics } from './room-hooks.js';
import type { PlatformSettings } from './settings.js';
import { Telemetry } from './telemetry.js';
import { PostgresWorkerLease } from './worker-lease.js';

/** Injection tokens of what has no class of its own. */
export const CONFIG = Symbol('Config');
export const LOGGER = Symbol('Logger');

const CONNECT_RETRIES = 5;
const CONNECT_RETRY_DELAY_MS = 1_000;

export interface PlatformOptions {
  config: PlatformSettings;
  logger: Logger;
  telemetry: Telemetry;
  /** Which process this is, in logs and in pg_stat_activity. */
  service: string;
}

/** What both processes stand on: configuration, PostgreSQL, ids, cursors, the command and query buses. Closes them after everything that uses them. */
@Global()
@Module({})
export class PlatformModule implements OnApplicationShutdown, BringsMetrics {
  constructor(
    private readonly database: Database,
    private readonly lease: PostgresWorkerLease,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly telemetry: Telemetry,
  ) {}

  static with({ config, logger, telemetry, service }: PlatformOptions): DynamicModule {
    const weights = new MerchantWeights();
    const database = new Database(config.databaseRuntimeUrl, {
      poolSize: config.databasePoolSize,
      merchantConnections: config.databaseMerchantConnections,
      weightOf: weights.of,
      connectTimeoutMs: config.databaseConnectTimeoutMs,
      applicationName: `counterfoil-${service}`,
    });
    return {
      module: PlatformModule,
      imports: [
        observedCqrs(),
        TypeOrmModule.forRoot({
          type: 'postgres',
          driver: database.typeormDriver,
          autoLoadEntities: true,
          installExtensions: false,
          retryAttempts: CONNECT_RETRIES,
          retryDelay: CONNECT_RETRY_DELAY_MS,
        }),
      ],
      providers: [
        { provide: CONFIG, useValue: config },
        { provide: LOGGER, useValue: logger },
        { provide: Telemetry, useValue: telemetry },
        { provide: CursorCodec, useValue: new CursorCodec(config.cursorSecret) },
        { provide: Database, useValue: database },
        { provide: MerchantWeights, useValue: weights },
        { provide: Entities, useFactory: (source: DataSource) => new Entities(source), inject: [DataSource] },
        {
          provide: IdempotentRequests,
          useValue: new IdempotentRequests(database, { waitMs: config.idempotencyWaitMs }),
        },
        { provide: PostgresWorkerLease, useFactory: () => acquireLease(database) },
        {
          provide: SnowflakeGenerator,
          useFactory: (lease: PostgresWorkerLease) => new SnowflakeGenerator(systemClock, lease, config.idMaxLeadMs),
          inject: [PostgresWorkerLease],
        },
      ],
      exports: [
        CONFIG,
        LOGGER,
        Telemetry,
        CursorCodec,
        Database,
        MerchantWeights,
        Entities,
        IdempotentRequests,
        PostgresWorkerLease,
        SnowflakeGenerator,
      ],
    };
  }

  addMetrics(metrics: Metrics): void {
    const { database } = this;
    metrics.gauge('counterfoil_database_pool_waiting', 'Who waits for a connection.', () => database.waiting);
    metrics.gauge('counterfoil_database_pool_connections', 'Connections of the pool by what they are at.', () =>
      labelled('state', database.connections),
    );
    metrics.gauge('counterfoil_database_pool_size', 'Connections that it may have.', () => database.size);
    metrics.counter(
      'counterfoil_event_loop_busy_seconds_total',
      'How long the event loop has been at work: its rate is the share of a core that is used.',
      () => performance.eventLoopUtilization().active / 1_000,
    );
    const dropped = 'Lines of the log that were dropped, as it could not be written and too many waited.';
    metrics.counter('counterfoil_log_lines_dropped_total', dropped, () => logOutput().dropped);
  }

  async onApplicationShutdown(): Promise<void> {
    await this.lease.release();
    await this.database.close();
    await this.telemetry.shutdown();
    this.logger.flush();
  }
}

/** As patient as TypeORM is: a database that starts together with us is waited for. */
async function acquireLease(database: Database): Promise<PostgresWorkerLease> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await PostgresWorkerLease.acquire(database);
    } catch (error) {
      if (attempt > CONNECT_RETRIES || !(error instanceof ProblemError)) throw error;
      await sleep(CONNECT_RETRY_DELAY_MS);
    }
  }
}
