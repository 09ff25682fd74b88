import { Module } from '@nestjs/common';
import type { DutyPlan } from '#platform/duty.js';
import { Database } from '#platform/postgres.js';
import type { BringsDuties } from '#platform/room-hooks.js';
import { endAbandonedRebuilds } from './rebuild-store.js';

/** What a rebuild leaves holds up the log's retention, which is reckoned in days. */
const END_REBUILDS_INTERVAL_MS = 3_600_000;

@Module({})
export class SummariesWorkerModule implements BringsDuties {
  constructor(private readonly database: Database) {}

  duties(): readonly DutyPlan[] {
    const round = () => endAbandonedRebuilds(this.database);
    return [{ name: 'end abandoned rebuilds', intervalMs: END_REBUILDS_INTERVAL_MS, round }];
  }
}
