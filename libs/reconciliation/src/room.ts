import type { Room } from '#outbox/room.js';
import { RECONCILIATION_SETTINGS } from './settings.js';

export const RECONCILIATION = {
  settings: RECONCILIATION_SETTINGS,
  checks: async () => (await import('./checks.js')).RECONCILIATION_CHECKS,
  module: async () => (await import('./breaks/breaks.module.js')).BreaksModule,
} satisfies Room;
