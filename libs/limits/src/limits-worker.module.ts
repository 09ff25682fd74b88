import { Inject, Module } from '@nestjs/common';
import { systemClock } from '#kernel/clock.js';
import type { DutyPlan } from '#platform/duty.js';
import { CONFIG } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import type { BringsDuties } from '#platform/room-hooks.js';
import type { LimitsSettings } from './settings.js';
import { purgeUsage } from './usage/usage-store.js';

/** Usage is kept for days: an hour later or earlier is all the same. */
const PURGE_INTERVAL_MS = 3_600_000;
const DAY_MS = 86_400_000;

/** Forgets old usage. */
@Module({})
export class LimitsWorkerModule implements BringsDuties {
  constructor(
    private readonly database: Database,
    @Inject(CONFIG) private readonly config: LimitsSettings,
  ) {}

  duties(): readonly DutyPlan[] {
    const retentionMs = this.config.limitUsageRetentionDays * DAY_MS;
    const round = () => purgeUsage(this.database, retentionMs, systemClock.now());
    return [{ name: 'purge usage', intervalMs: PURGE_INTERVAL_MS, round }];
  }
}
