import type { Room } from '#outbox/room.js';

export const LEDGER: Room = {
  module: async () => (await import('./ledger.module.js')).LedgerModule,
  worker: async () => (await import('./ledger-worker.module.js')).LedgerWorkerModule,
};
