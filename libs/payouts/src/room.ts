import type { Room } from '#outbox/room.js';
import { DAILY_PAYOUTS } from './daily-payouts.js';
import { PAYOUTS_SETTINGS } from './settings.js';

export const PAYOUTS = {
  settings: PAYOUTS_SETTINGS,
  reactors: [DAILY_PAYOUTS],
  checks: async () => (await import('./checks.js')).PAYOUT_CHECKS,
  module: async () => (await import('./payouts.module.js')).PayoutsModule,
  worker: async () => (await import('./payouts-worker.module.js')).PayoutsWorkerModule,
} satisfies Room;
