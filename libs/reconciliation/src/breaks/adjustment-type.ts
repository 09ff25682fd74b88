/** Type of the transactions that end breaks. No client's posting has it. */
export const ADJUSTMENT_TYPE = 'reconciliation.adjustment';
