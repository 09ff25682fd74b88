import type { Room } from '#outbox/room.js';
import { NIGHT_QUEUE } from './runs/names.js';
import { SETTLEMENT_SETTINGS } from './settings.js';

export const SETTLEMENT = {
  settings: SETTLEMENT_SETTINGS,
  checks: async () => (await import('./checks.js')).SETTLEMENT_CHECKS,
  module: async () => (await import('./settlement.module.js')).SettlementModule,
  worker: async () => (await import('./settlement-worker.module.js')).SettlementWorkerModule,
  queues: [NIGHT_QUEUE],
} satisfies Room;
