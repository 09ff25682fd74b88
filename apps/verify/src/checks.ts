import { LEDGER_CHECKS } from '#ledger/verify/verify.js';
import { SUMMARY_CHECKS } from '#summaries/checks.js';

/** All that a database is checked for, capability by capability. */
export const CHECKS = [...LEDGER_CHECKS, ...SUMMARY_CHECKS];
