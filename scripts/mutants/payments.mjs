import { inFile } from './mutant.mjs';

const ENDINGS = 'apps/provider-simulator/src/ending.spec.ts';

/**
 * Planted bugs of payments: what others do with facts that come in any order.
 *
 * @type {import('./mutant.mjs').Mutant[]}
 */
export const PAYMENT_MUTANTS = [
  ...inFile('libs/payments/src/known.ts', ENDINGS, [
    ['facts count in the order of their arrival', 'facts.sort(byOwnAccount);', ''],
    [
      'of each kind of fact the last that arrived wins',
      'facts.sort(byOwnAccount);',
      'facts.splice(0, facts.length, ...new Map(facts.map((fact) => [fact.type, fact])).values());',
    ],
  ]),
  ...inFile('libs/payments/src/movement.ts', ENDINGS, [
    [
      'an amount that is told again is added',
      'movement.amount = fact.amount;',
      'movement.amount = (movement.amount ?? 0n) + fact.amount;',
    ],
  ]),
  ...inFile('libs/payments/src/disputes.ts', ENDINGS, [
    ['a dispute’s outcome moves money that was told apart', 'tellsFunds ? fundsWithdrawn - fundsReinstated : ', ''],
  ]),
];
