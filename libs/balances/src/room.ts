import type { Room } from '#outbox/room.js';
import { BalanceInvalidation } from './invalidation.js';
import { BALANCES_SETTINGS } from './settings.js';

export const BALANCES = {
  settings: BALANCES_SETTINGS,
  module: async () => (await import('./balances.module.js')).BalancesModule,
  worker: async () => (await import('./balances-worker.module.js')).BalancesWorkerModule,
  targets: [BalanceInvalidation.CONSUMER],
} satisfies Room;
