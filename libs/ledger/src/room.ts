import type { Room } from '#outbox/room.js';
import { LEDGER_SETTINGS } from './settings.js';

export const LEDGER = {
  settings: LEDGER_SETTINGS,
  module: async () => (await import('./ledger.module.js')).LedgerModule,
  worker: async () => (await import('./ledger-worker.module.js')).LedgerWorkerModule,
  checks: async () => (await import('./verify/checks.js')).LEDGER_CHECKS,
} satisfies Room;
