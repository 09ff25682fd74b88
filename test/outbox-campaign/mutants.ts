// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the table quotes source text.

import type { Mutant } from '../histories/mutants.js';

/** Planted bugs that show only where real processes and servers fail: `npm run test:faults -- --mutant all`. */
export const MUTANTS: readonly Mutant[] = [
  {
    // Connections that end say nothing about the event; enough of them in a row make it a dead letter.
    name: 'lost-connections-count',
    changes: [
      {
        file: 'dist/libs/outbox/src/consumers/handler-call.js',
        search: 'if (isConnectionLoss(error) || isRetriable(error))',
        replace: 'if (isRetriable(error))',
      },
      {
        file: 'dist/libs/kernel/src/problem.js',
        search: "new Set(['database_unavailable', 'overloaded',",
        replace: "new Set(['overloaded',",
      },
    ],
  },
  {
    // Works until the queue's Redis dies for the first time.
    name: 'no-way-back-to-the-queue',
    changes: [
      {
        file: 'dist/libs/platform/src/queues.js',
        search: 'maxRetriesPerRequest: null',
        replace: 'maxRetriesPerRequest: null, retryStrategy: () => null',
      },
    ],
  },
  {
    // Every check of the books is content: the hold is there, and stays.
    name: 'a-void-keeps-half-of-what-it-held',
    changes: [
      {
        file: 'dist/libs/ledger/src/posting/decide.js',
        search: 'pending: -(state.left[place] ?? 0n)',
        replace: 'pending: -((state.left[place] ?? 0n) + 1n) / 2n',
      },
    ],
  },
  {
    name: 'the-cache-swaps-what-is-pending',
    changes: [
      {
        file: 'dist/libs/balances/src/cached-balance.js',
        search: '${postedCredits} ${pendingDebits} ${pendingCredits} ${asOfMs}',
        replace: '${postedCredits} ${pendingCredits} ${pendingDebits} ${asOfMs}',
      },
    ],
  },
];
