/** BullMQ's queue of reports that are to be matched. */
export const RECONCILIATION_QUEUE = 'reconciliation';
