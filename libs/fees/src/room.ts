import type { Room } from '#outbox/room.js';
import { FEES_SETTINGS } from './settings.js';

export const FEES = {
  settings: FEES_SETTINGS,
  module: async () => (await import('./fees.module.js')).FeesModule,
} satisfies Room;
