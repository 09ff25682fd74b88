import type { Room } from '#outbox/room.js';
import { SETTLEMENT_SETTINGS } from './settings.js';

export const SETTLEMENT = {
  settings: SETTLEMENT_SETTINGS,
  module: async () => (await import('./settlement.module.js')).SettlementModule,
} satisfies Room;
