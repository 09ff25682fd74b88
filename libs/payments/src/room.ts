import type { Room } from '#outbox/room.js';
import { PAYMENTS_SETTINGS } from './settings.js';

export const PAYMENTS = {
  settings: PAYMENTS_SETTINGS,
  module: async () => (await import('./payments.module.js')).PaymentsModule,
  worker: async () => (await import('./payments-worker.module.js')).PaymentsWorkerModule,
  checks: async () => (await import('./timers/checks.js')).TIMER_CHECKS,
} satisfies Room;
