import type { Room } from '#outbox/room.js';

export const BALANCES: Room = {
  module: async () => (await import('./balances.module.js')).BalancesModule,
  worker: async () => (await import('./balances-worker.module.js')).BalancesWorkerModule,
};
