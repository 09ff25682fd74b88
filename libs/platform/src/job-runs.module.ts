import { type BeforeApplicationShutdown, Global, Inject, Module } from '@nestjs/common';
import type { DutyPlan } from './duty.js';
import { JobRuns } from './job-runs.js';
import type { Logger } from './logging.js';
import { LOGGER } from './platform.module.js';
import { Database } from './postgres.js';
import type { BringsDuties } from './room-hooks.js';

/** What runs every second is noted down so often; GET /v1/jobs allows for it. */
export const NOTE_INTERVAL_MS = 5_000;

/** Notes down when the jobs of this worker run. Needs PlatformModule. */
@Global()
@Module({
  providers: [{ provide: JobRuns, useFactory: (database: Database) => new JobRuns(database), inject: [Database] }],
  exports: [JobRuns],
})
export class JobRunsModule implements BringsDuties, BeforeApplicationShutdown {
  constructor(
    private readonly jobs: JobRuns,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  duties(): readonly DutyPlan[] {
    return [{ name: 'note what ran', intervalMs: NOTE_INTERVAL_MS, round: () => this.jobs.note() }];
  }

  /** All that ran has ended by then, and the database is still open. */
  async beforeApplicationShutdown(): Promise<void> {
    await this.jobs
      .note()
      .catch((error) => this.logger.warn({ err: error }, 'the last runs of jobs are not noted down'));
  }
}
