import type { Room } from '#outbox/room.js';
import { TENANCY_SETTINGS } from './settings.js';

export const TENANCY = {
  settings: TENANCY_SETTINGS,
  module: async () => (await import('./tenancy.module.js')).TenancyModule,
} satisfies Room;
