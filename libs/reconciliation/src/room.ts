import type { Room } from '#outbox/room.js';
import { LATE_FACTS, RECONCILIATION_QUEUE } from './jobs/names.js';
import { RECONCILIATION_SETTINGS } from './settings.js';

export const RECONCILIATION = {
  settings: RECONCILIATION_SETTINGS,
  checks: async () => (await import('./checks.js')).RECONCILIATION_CHECKS,
  module: async () => (await import('./reconciliation.module.js')).ReconciliationModule,
  worker: async () => (await import('./reconciliation-worker.module.js')).ReconciliationWorkerModule,
  targets: [LATE_FACTS],
  queues: [RECONCILIATION_QUEUE],
} satisfies Room;
