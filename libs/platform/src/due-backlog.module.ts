import { Inject, Module } from '@nestjs/common';
import { Deadline } from './deadline.js';
import { COUNTED, type DueBacklog, readDueBacklogs } from './due-backlogs.js';
import type { DutyPlan } from './duty.js';
import type { Metrics } from './metrics.js';
import { CONFIG } from './platform.module.js';
import { Database } from './postgres.js';
import type { BringsDuties, BringsMetrics } from './room-hooks.js';
import type { PlatformSettings } from './settings.js';

const LOOK_INTERVAL_MS = 10_000;
const LOOK_DEADLINE_MS = 5_000;

/** Tells what is due of each kind and not done, of all merchants, as of the last look. */
@Module({})
export class DueBacklogModule implements BringsDuties, BringsMetrics {
  #seen: readonly DueBacklog[] = [];

  constructor(
    @Inject(CONFIG) private readonly config: Pick<PlatformSettings, 'metricsPort'>,
    private readonly database: Database,
  ) {}

  duties(): readonly DutyPlan[] {
    if (this.config.metricsPort === 0) return [];
    return [{ name: 'count what is overdue', intervalMs: LOOK_INTERVAL_MS, round: () => this.look() }];
  }

  async look(): Promise<void> {
    this.#seen = await readDueBacklogs(this.database, Deadline.after(LOOK_DEADLINE_MS));
  }

  addMetrics(metrics: Metrics): void {
    metrics.gauge(
      'counterfoil_due_rows_overdue',
      `Rows whose time has come and that are not done, at most ${COUNTED} of a kind.`,
      () => this.#seen.map(({ kind, overdue }) => [{ kind }, overdue]),
    );
    metrics.gauge('counterfoil_due_rows_overdue_seconds', 'How long ago the time of the oldest of them came.', () =>
      this.#seen.map(({ kind, lagMs }) => [{ kind }, lagMs / 1_000]),
    );
  }
}
