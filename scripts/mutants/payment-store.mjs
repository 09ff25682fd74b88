// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the table quotes source text.

import { inFile } from './mutant.mjs';

const FAILURES = 'test/payment-failures.test.ts';

/**
 * Planted bugs of what keeps, posts and tells of payments.
 *
 * @type {import('./mutant.mjs').Mutant[]}
 */
export const PAYMENT_STORE_MUTANTS = [
  ...inFile('libs/payments/src/providers/stripe-event.ts', 'libs/payments/src/providers/stripe.spec.ts', [
    [
      'the id of an event is the identity of a change',
      "const id = [type, object.id, ...detail.filter((part) => part !== undefined)].join(':');",
      'const id = `${event.id}:${type}:${detail.length}`;',
    ],
  ]),
  ...inFile('libs/payments/src/payments-extension.ts', FAILURES, [
    [
      'facts that wait are not looked up again',
      'WHERE f.merchant_id = k.merchant_id AND f.subject = k.subject) f`',
      "WHERE f.merchant_id = k.merchant_id AND f.subject = k.subject AND f.outcome <> 'parked') f`",
    ],
    ['that a fact was applied before is not kept', 'applied_before = excluded.applied_before,', ''],
  ]),
  ...inFile('libs/payments/src/payments-extension.ts', 'test/payment-races.test.ts', [
    [
      'how much is left is not asked behind the lock',
      'if (!verdict.legal) return refuse(verdict.code, verdict.detail);\n  const said = { type: FACT_OF[kind], amount: verdict.amount,',
      'const said = { type: FACT_OF[kind], amount: amount ?? 1n,',
    ],
  ]),
  ...inFile('libs/payments/src/tell-fact.ts', FAILURES, [
    [
      'another content under a known identity is taken for the same',
      'if (same && saysTheSame(same.row, fact, eventId))',
      'if (same)',
    ],
  ]),
  ...inFile('libs/payments/src/posted-difference.ts', FAILURES, [
    [
      'a submission that names too few accounts posts nothing',
      'if (missing.length > 0) throw new NeedsAccounts([...new Set(missing)]);',
      'if (missing.length > 0) return undefined;',
    ],
  ]),
  ...inFile('libs/payments/src/add-facts.ts', FAILURES, [
    [
      'a fact that changes nothing has an event',
      "fact.outcome === 'applied' && !fact.applied_before",
      "(fact.outcome === 'applied' || fact.outcome === 'stale') && !fact.applied_before",
    ],
    ['a fact that is applied once more has an event once more', ' && !fact.applied_before', ''],
  ]),
  ...inFile('libs/payments/src/timers/timers.ts', 'test/payment-expiry.test.ts', [
    [
      'what was captured in time expires all the same',
      "if (!row || row.expires_at === null || row.amount_capturable === '0') return undefined;",
      'if (!row || row.expires_at === null) return undefined;',
    ],
  ]),
  ...inFile('libs/ledger/src/verify/owned-transactions.ts', 'test/payment-checks.test.ts', [
    ['nobody misses the payment of an adjustment', 'IS NOT NULL OR type LIKE', 'IS NOT NULL AND type LIKE'],
  ]),
];
