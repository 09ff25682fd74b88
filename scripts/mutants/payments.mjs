import { inFile } from './mutant.mjs';

const BY_HAND = 'libs/payments/src/position.spec.ts';
const BY_LIVES = 'libs/payments/src/position.property.spec.ts';
const BY_STORIES = 'apps/provider-simulator/src/ending.spec.ts';

/**
 * Planted bugs of the pure position: how payments go wrong elsewhere. What a rule plants as well is Stryker's.
 *
 * @type {import('./mutant.mjs').Mutant[]}
 */
export const PAYMENT_MUTANTS = [
  ...inFile('libs/payments/src/known.ts', BY_LIVES, [
    ['facts are ordered by arrival', 'facts.sort(byOwnAccount);', ''],
    [
      'of two contents the first to arrive counts',
      'if (contentOf(fact) < contentOf(other)) byId.set(fact.id, fact);',
      '',
    ],
    ['facts of one time stand as they arrived', '(one.id < other.id ? -1 : one.id > other.id ? 1 : 0)', '0'],
  ]),
  // What peers do: k6/out-of-order.ts, whose stories these are, fails as well (docs/figures/payments.md).
  ...inFile('libs/payments/src/known.ts', BY_STORIES, [
    ['facts are folded in the order of their arrival', 'facts.sort(byOwnAccount);', ''],
    [
      'of each kind of fact the last that arrived wins',
      'facts.sort(byOwnAccount);',
      'facts.splice(0, facts.length, ...new Map(facts.map((fact) => [fact.type, fact])).values());',
    ],
  ]),
  ...inFile('libs/payments/src/totals.ts', BY_HAND, [
    ['a total is added like an amount', "amountKind === 'cumulative' && objectRef", 'false && objectRef'],
    [
      'totals are said to include what failed before',
      'failedAt(movement) < total.occurredAtMs',
      'failedAt(movement) < 0',
    ],
    ['a total pays beside the request that it confirms', 'if (told || failure) spoken +=', 'spoken +='],
  ]),
  ...inFile('libs/payments/src/movement.ts', BY_HAND, [
    [
      'an object that is told again is added',
      'if (fact.amount !== undefined && (isFirst || fact.amount > (movement.amount ?? 0n))) movement.amount = fact.amount;',
      'if (fact.amount !== undefined) movement.amount = isFirst ? fact.amount : (movement.amount ?? 0n) + fact.amount;',
    ],
    ['success makes up for a failure', 'movement.failure ??= fact;', 'if (!movement.told) movement.failure ??= fact;'],
  ]),
  ...inFile('libs/payments/src/pairs.ts', BY_LIVES, [
    ['a request and its webhook pay twice', 'if (tellings.length === 0) return movements;', 'return movements;'],
  ]),
  ...inFile('libs/payments/src/movements.ts', BY_LIVES, [
    [
      'more is refunded than was captured',
      'else if (capped && movement.amount > left)',
      'else if (movement.amount < 0n)',
    ],
  ]),
  ...inFile('libs/payments/src/disputes.ts', BY_LIVES, [
    [
      'the outcome of a dispute moves its money once more',
      "atProcessor: tellsFunds ? fundsWithdrawn - fundsReinstated : outcome === 'lost' ? taken : 0n,",
      "atProcessor: fundsWithdrawn - fundsReinstated + (outcome === 'lost' && (tellsFunds || taken > 0n) ? taken : 0n),",
    ],
    ['a lost dispute stays lost', 'byOwnAccount(last, fact) < 0', "fact.type === 'dispute_lost'"],
    [
      'a second chargeback takes nothing',
      'told.byStage.set(stage, largest(told.byStage.get(stage), amount) ?? 0n)',
      'told.byStage.set(undefined, largest(told.byStage.get(undefined), amount) ?? 0n)',
    ],
  ]),
  ...inFile('libs/payments/src/disputes.ts', BY_HAND, [
    ['a won dispute takes from the next', 'left -= sums.taken;', 'left -= sums.amount;'],
    ['an outcome of an earlier stage comes back', 'rankOf(fact.stage) < highest', 'false'],
    ['an inquiry takes the money', "stage === 'inquiry' || outcome === 'won'", "outcome === 'won'"],
  ]),
  ...inFile('libs/payments/src/position.ts', BY_HAND, [
    ['an expiry beats the capture before it', 'if (captured > 0n) {', 'if (captured > 0n && !expired) {'],
    ['a refused payment keeps the capture that it claimed', 'if (!capture.told) capture.failure ??= refusal;', ''],
  ]),
  ...inFile('libs/payments/src/authorisation.ts', BY_HAND, [
    ['the last word on an authorisation stands', 'if (!confirmed) refusal', 'refusal'],
    ['a refusal undoes what the provider captured', '!captures.some(({ told, failure }) => told && !failure)', 'true'],
  ]),
  ...inFile('libs/payments/src/findings.ts', BY_HAND, [
    ['whatever is told after a void was captured after it', 'told && told.occurredAtMs > fact.occurredAtMs', 'told'],
  ]),
  ...inFile('libs/payments/src/accounts.ts', BY_LIVES, [
    ['a hold goes back on the side of what was posted', 'direction === holdSide ? pending : 0n', 'pending'],
    [
      'a payment changes its currency and leaves its money behind',
      'const undone = entriesBetween(before, NO_HOLDINGS, before.currency);',
      'const undone = entriesBetween(NO_HOLDINGS, NO_HOLDINGS, before.currency);',
    ],
  ]),
  ...inFile('libs/payments/src/transitions.ts', 'libs/payments/src/transitions.spec.ts', [
    [
      'disputed money is refunded',
      'payment.amountCaptured - payment.amountRefunded - payment.amountDisputed;',
      'payment.amountCaptured - payment.amountRefunded;',
    ],
  ]),
];
