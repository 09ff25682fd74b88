/** BullMQ's queue of the night. */
export const NIGHT_QUEUE = 'night';
