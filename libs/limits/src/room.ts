import type { Room } from '#outbox/room.js';
import { LIMITS_SETTINGS } from './settings.js';

export const LIMITS = {
  settings: LIMITS_SETTINGS,
  module: async () => (await import('./limits.module.js')).LimitsModule,
  worker: async () => (await import('./limits-worker.module.js')).LimitsWorkerModule,
} satisfies Room;
