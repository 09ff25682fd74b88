/** BullMQ's queue of reports that are to be matched. */
export const RECONCILIATION_QUEUE = 'reconciliation';

/** Follows the log for what reports have named before the ledger knew of it; its due rows have the name, too. The subject is the report. */
export const LATE_FACTS = 'late_facts';
