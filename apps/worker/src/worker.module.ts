import {
  type DynamicModule,
  Inject,
  Module,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
  type OnModuleInit,
} from '@nestjs/common';
import { DiscoveryModule, DiscoveryService } from '@nestjs/core';
import { OutboxModule } from '#outbox/outbox.module.js';
import { OutboxWorkerModule, type OutboxWorkerOptions } from '#outbox/outbox-worker.module.js';
import type { Room } from '#outbox/room.js';
import { checksModule } from '#platform/checks.module.js';
import { DueBacklogModule } from '#platform/due-backlog.module.js';
import { Duty } from '#platform/duty.js';
import { JobRuns } from '#platform/job-runs.js';
import { JobRunsModule } from '#platform/job-runs.module.js';
import type { Logger } from '#platform/logging.js';
import { Metrics } from '#platform/metrics.js';
import { MetricsServer } from '#platform/metrics-server.js';
import { CONFIG, LOGGER, PlatformModule, type PlatformOptions } from '#platform/platform.module.js';
import { type BringsDuties, type BringsMetrics, whoHas } from '#platform/room-hooks.js';
import type { Config } from '../../config.js';
import { checksOf, consumersOf, modulesOf, ROOMS, reactorsOf } from '../../rooms.js';

export type ConsumerProcess = OutboxWorkerOptions['process'];
const COMPILED_PROCESS: ConsumerProcess = { entry: new URL('./consumer-process.js', import.meta.url) };

/** Everything that runs by itself: what the rooms bring. Any number of workers may run. */
@Module({})
export class WorkerModule implements OnModuleInit, OnApplicationBootstrap, OnModuleDestroy {
  #duties: Duty[] = [];
  #metrics: MetricsServer | undefined;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly discovery: DiscoveryService,
    private readonly jobs: JobRuns,
  ) {}

  /** `process` and `rooms`: tests run the sources, and rooms of their own. */
  static async with(
    platform: PlatformOptions & { config: Config },
    { process = COMPILED_PROCESS, rooms = ROOMS }: { process?: ConsumerProcess; rooms?: readonly Room[] } = {},
  ): Promise<DynamicModule> {
    const imports = [
      DiscoveryModule,
      PlatformModule.with(platform),
      DueBacklogModule,
      checksModule(await checksOf(rooms)),
      JobRunsModule,
      OutboxModule,
      OutboxWorkerModule.with({ consumers: consumersOf(rooms), reactors: reactorsOf(rooms), process }),
      ...(await modulesOf(rooms, 'module')),
      ...(await modulesOf(rooms, 'worker')),
    ];
    return { module: WorkerModule, imports };
  }

  /** Before anything is at work: a port that is taken ends the start. */
  async onModuleInit(): Promise<void> {
    const { host, metricsPort: port, metricsAllow: allow } = this.config;
    if (port === 0) return;
    const metrics = new Metrics();
    for (const room of whoHas<BringsMetrics>(this.discovery, 'addMetrics')) room.addMetrics(metrics);
    this.#metrics = await MetricsServer.listen(metrics, { host, port, allow });
  }

  onApplicationBootstrap(): void {
    const plans = whoHas<BringsDuties>(this.discovery, 'duties').flatMap((room) => room.duties());
    this.#duties = plans.map((plan) => new Duty({ ...plan, logger: this.logger, jobs: this.jobs }).start());
  }

  async onModuleDestroy(): Promise<void> {
    await Promise.all([this.#metrics?.close(), ...this.#duties.map((duty) => duty.stop())]);
  }
}
