import type { Room } from '#outbox/room.js';

export const FEES = {
  module: async () => (await import('./fees.module.js')).FeesModule,
} satisfies Room;
