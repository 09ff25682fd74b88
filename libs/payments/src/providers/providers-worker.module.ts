import { Inject, Module } from '@nestjs/common';
import { systemClock } from '#kernel/clock.js';
import { dutiesOf } from '#platform/due-duties.js';
import type { DueWork } from '#platform/due-work.js';
import type { DutyPlan } from '#platform/duty.js';
import type { Logger } from '#platform/logging.js';
import { CONFIG, LOGGER } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import type { BringsDuties } from '#platform/room-hooks.js';
import type { PaymentsSettings } from '../settings.js';
import { Inbox } from './inbox.js';
import { inboxWork, purgeInbox } from './inbox-duties.js';
import { ProvidersModule } from './providers.module.js';

const DAY_MS = 86_400_000;
/** Bodies are kept for days: an hour later or earlier is all the same. */
const PURGE_INTERVAL_MS = 3_600_000;

/** What no API process has applied, and what is purged. */
@Module({ imports: [ProvidersModule] })
export class ProvidersWorkerModule implements BringsDuties {
  readonly #work: DueWork;

  constructor(
    @Inject(CONFIG) private readonly config: PaymentsSettings,
    @Inject(LOGGER) logger: Logger,
    private readonly database: Database,
    inbox: Inbox,
  ) {
    this.#work = inboxWork(database, inbox, logger);
  }

  duties(): readonly DutyPlan[] {
    const { config, database } = this;
    return [
      ...dutiesOf({ 'apply provider webhooks': this.#work }, config.providerInboxPollMs),
      {
        name: 'purge provider webhooks',
        intervalMs: PURGE_INTERVAL_MS,
        round: () => purgeInbox(database, config.providerInboxDays * DAY_MS, systemClock.now()),
      },
    ];
  }
}
