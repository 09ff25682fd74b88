import type { Room } from '#outbox/room.js';

export const FEES = {} satisfies Room;
