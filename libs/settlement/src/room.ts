import type { Room } from '#outbox/room.js';

export const SETTLEMENT = {
  module: async () => (await import('./settlement.module.js')).SettlementModule,
} satisfies Room;
