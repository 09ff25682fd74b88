import type { Room } from '#outbox/room.js';

export const TENANCY: Room = {
  module: async () => (await import('./tenancy.module.js')).TenancyModule,
};
