/** Limits of the contract that the ledger itself relies on. */
export const MIN_ENTRIES = 2;
export const MAX_ENTRIES = 100;
export const MAX_BATCH = 1_000;
/**
 * Reversals of reversals in a row: each changes where all those before it stand, so that its cost grows with every one. A bank
 * that sends a payment to and fro needs a few.
 */
export const MAX_REVERSAL_DEPTH = 20;
/** How far `effective_at` may lie ahead of this process's clock: room for a client's clock that runs fast. */
export const EFFECTIVE_AT_MAX_AHEAD_MS = 300_000;
