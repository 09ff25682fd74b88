import type { Room } from '#outbox/room.js';

export const PAYOUTS = {} satisfies Room;
