import { Module } from '@nestjs/common';
import type { DutyPlan } from '#platform/duty.js';
import { Database } from '#platform/postgres.js';
import type { BringsDuties } from '#platform/room-hooks.js';
import { completeCalendars } from './due-days.js';

/** The first round is at once; what a process of the version before does later waits that long. */
const COMPLETE_INTERVAL_MS = 3_600_000;

/** That every merchant's next day is due at its time. */
@Module({})
export class CalendarWorkerModule implements BringsDuties {
  #hasCompleted = false;

  constructor(private readonly database: Database) {}

  duties(): readonly DutyPlan[] {
    return [
      {
        name: 'complete settlement calendars',
        intervalMs: COMPLETE_INTERVAL_MS,
        nextInMs: () => (this.#hasCompleted ? undefined : 0),
        round: async () => {
          await completeCalendars(this.database);
          this.#hasCompleted = true;
        },
      },
    ];
  }
}
