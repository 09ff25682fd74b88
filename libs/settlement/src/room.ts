import type { Room } from '#outbox/room.js';

export const SETTLEMENT = {} satisfies Room;
