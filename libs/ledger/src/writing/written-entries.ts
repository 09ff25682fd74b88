import type { Outcome } from './group-extension.js';

/** Of what an extension has posted only the ids are known here; most of it moves from one account to another. */
const ENTRIES_OF_EXTENSION = 2;

/** How many entries a submission has written, about: for its cost. */
export function writtenEntries(outcome: Outcome): number {
  if (outcome.kind !== 'decided') return 0;
  return outcome.decisions.reduce((sum, decision) => {
    if (!decision.accepted) return sum;
    if ('transaction' in decision) return sum + decision.transaction.entries.length;
    return sum + decision.transactionIds.length * ENTRIES_OF_EXTENSION;
  }, 0);
}
