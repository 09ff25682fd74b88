// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the table quotes source text.

import { inFile } from './mutant.mjs';

const ITEMS = 'test/payable-items.test.ts';
const POSTINGS = 'test/payment-postings.test.ts';
const OF_PAYMENTS = 'test/payment-checks.test.ts';
const OF_SETTLEMENTS = 'test/settlement-checks.test.ts';

/**
 * Planted bugs of what entries on merchant_payable are of, and of the checks that look after it and after settlements.
 *
 * @type {import('./mutant.mjs').Mutant[]}
 */
export const PAYABLE_MUTANTS = [
  ...inFile('libs/payments/src/accounts.ts', 'libs/payments/src/position.spec.ts', [
    [
      'all that a payment moves of what is owed is one entry',
      'PAYABLE_KINDS.map((kind) => ({ kind, moved: after.payable[kind] - before.payable[kind] }))',
      "[{ kind: 'payment' as const, moved: after.accounts[account].posted - before.accounts[account].posted }]",
    ],
    ['the fee of a dispute is of no kind', 'dispute: disputed + disputeFees', 'dispute: disputed'],
  ]),
  ...inFile('libs/payments/src/posted-difference.ts', POSTINGS, [
    [
      'what goes of a kind may go before it came',
      'pending < 0n || (kind && isAgainst(movedBy(entry), payable[kind]))',
      'pending < 0n',
    ],
    [
      'what goes of an account may go before it came',
      'return isAgainst(sums.get(codeOf(entry)) ?? 0n, accounts[account].posted);',
      'return sums.size === 0;',
    ],
  ]),
  ...inFile('libs/payments/src/posted-difference.ts', ITEMS, [
    ['an entry is of the kind of the one before it', 'entries[index]?.kind', 'entries[index - 1]?.kind'],
  ]),
  ...inFile('db/migrations/1764715000000-payable-items.ts', ITEMS, [
    ['refunds of before are payments', "WHEN e.type LIKE 'payment.refund%' THEN 'refund'", ''],
    [
      'what a client called a refund of a payment is one',
      'e.transaction_id = p.transaction_id',
      "e.type LIKE 'payment.%'",
    ],
  ]),
  ...inFile('libs/payments/src/item-checks.ts', OF_PAYMENTS, [
    ['nobody misses an item', 'WHERE i.subject_id IS NULL OR p.payment_id IS NULL', 'WHERE p.payment_id IS NULL'],
    [
      'items of one kind make up for those of another',
      'OR has.net IS NOT TRUE AND (off.payment <> 0 OR off.refund <> 0 OR off.dispute <> 0)',
      '',
    ],
  ]),
  ...inFile('libs/settlement/src/line-checks.ts', OF_SETTLEMENTS, [
    ['a line may be of another kind than its entry', "OR coalesce(i.kind, 'other') <> l.kind", ''],
    ['nobody misses what a settlement left out', 'WHERE l.merchant_id IS NULL LIMIT', 'WHERE false LIMIT'],
    [
      'only settlements are summed, and none in the making',
      'FROM settlement_drafts WHERE merchant_id = $1',
      'FROM settlement_drafts WHERE false AND merchant_id = $1',
    ],
  ]),
  ...inFile('libs/settlement/src/checks.ts', OF_SETTLEMENTS, [
    [
      'what is paid out counts for nothing',
      '- coalesce(b.paid_out, 0) + coalesce(e.unsettled, 0)',
      '+ coalesce(e.unsettled, 0)',
    ],
    [
      'nobody looks at whom fees are of',
      '(f.taken, f.earned, i.subject_id) IS DISTINCT FROM (s.fees, s.fees, s.id)',
      '(f.taken, f.earned) IS DISTINCT FROM (s.fees, s.fees)',
    ],
  ]),
];
