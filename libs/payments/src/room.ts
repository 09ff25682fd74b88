import type { Room } from '#outbox/room.js';
import { PAYMENTS_SETTINGS } from './settings.js';

export const PAYMENTS = {
  settings: PAYMENTS_SETTINGS,
  checks: async () => (await import('./checks.js')).PAYMENT_CHECKS,
  module: async () => (await import('./payments.module.js')).PaymentsModule,
  worker: async () => (await import('./payments-worker.module.js')).PaymentsWorkerModule,
} satisfies Room;
