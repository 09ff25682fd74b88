/** BullMQ's queue of the night. */
export const NIGHT_QUEUE = 'night';

/** Of due rows, one for each merchant, whose subject is the merchant itself: the end of the day that is to be settled next. */
export const SETTLEMENT_DUE = 'settlement';
