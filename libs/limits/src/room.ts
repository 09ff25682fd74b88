import type { Room } from '#outbox/room.js';

export const LIMITS = {
  module: async () => (await import('./limits.module.js')).LimitsModule,
} satisfies Room;
