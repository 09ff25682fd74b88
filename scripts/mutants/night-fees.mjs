// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the table quotes source text.
import { inFile } from './mutant.mjs';

const ROUTES = 'test/fee-plans.test.ts';
const SPANS = 'test/fee-plan-spans.test.ts';

/**
 * Planted bugs of fee plans: how fees go wrong beside PostgreSQL. What a rule plants in fee.ts and spans.ts is Stryker's.
 *
 * @type {import('./mutant.mjs').Mutant[]}
 */
export const FEE_MUTANTS = [
  inFile('libs/fees/src/fee.ts', 'libs/fees/src/fee.spec.ts', [
    [
      'a percentage is reckoned in doubles',
      'halfEven(item.amount * BigInt(rule.percentBps), BPS)',
      'BigInt(Math.round((Number(item.amount) * rule.percentBps) / Number(BPS)))',
    ],
    [
      'what is fixed is rounded as well',
      'halfEven(item.amount * BigInt(rule.percentBps), BPS) + rule.fixed',
      'halfEven(item.amount * BigInt(rule.percentBps) + rule.fixed * BPS, BPS)',
    ],
    ['the item counts to its own tier', 'rule.tierFrom <= volume', 'rule.tierFrom <= volume + item.amount'],
  ]),
  inFile('libs/fees/src/spans.ts', 'libs/fees/src/spans.spec.ts', [
    [
      'a version counts before its merchant is on the plan',
      'Math.max(plan.validFromMs, validFromMs)',
      'plan.validFromMs',
    ],
    ['a version counts from the assignment on', 'Math.max(plan.validFromMs, validFromMs)', 'validFromMs'],
  ]),
  inFile('libs/fees/src/settled-until.ts', ROUTES, [
    ['what is drafted may still change', 'UNION ALL SELECT merchant_id, ends_at FROM settlement_drafts', ''],
    [
      'days settled before a merchant came to the plan bind it',
      'greatest(valid_from, $2::timestamptz)',
      '$2::timestamptz',
    ],
    ['days settled after a merchant left the plan bind it', 'least(valid_until, at)', 'at'],
    ['days of any plan bind it', 'WHERE fee_plan_id = $1 AND', 'WHERE $1::bigint > 0 AND'],
  ]),
  inFile('libs/fees/src/versions.ts', ROUTES, [
    ['a version does not wait for who begins to settle', "'pessimistic_write'", "'pessimistic_read'"],
  ]),
  inFile('libs/fees/src/fee-plan.commands.ts', ROUTES, [
    ['two versions begin at once', 'validFromMs <= before.validFromMs', 'validFromMs < before.validFromMs'],
    ['a version changes settled days', 'if (validFromMs < settledUntilMs) throw settled(settledUntilMs);', ''],
    [
      'a later version counts since ever',
      'version.validFromMs ?? systemClock.now()',
      'version.validFromMs ?? -Infinity',
    ],
  ]),
  inFile('libs/fees/src/assign-fee-plan.command.ts', ROUTES, [
    ['a change of plan does not wait for who begins to settle', 'FOR UPDATE', 'FOR NO KEY UPDATE'],
    ['a first plan counts for days that are settled', '&& settledUntilMs === -Infinity', ''],
  ]),
  inFile('libs/fees/src/assignments.ts', ROUTES, [
    ['a plan changes settled days', 'if (validFromMs < settledUntilMs) throw settled(settledUntilMs);', ''],
    [
      'a merchant is on a plan before the one that it is on',
      'if (inForce && validFromMs < inForce.validFromMs)',
      'if (false)',
    ],
    [
      'asked twice is done twice, or refused',
      'if (others.length === 0 && (only ? isEqual(only, wanted) : isSame)) return undefined;',
      '',
    ],
    ['what was planned stands', 'one.validFromMs >= validFromMs', 'one.validFromMs === validFromMs'],
  ]),
  inFile('libs/fees/src/rule-checks.ts', ROUTES, [
    ['rules of two tiers are the same', '${appliesTo} ${currency} ${tierFrom}', '${appliesTo} ${currency}'],
  ]),
  inFile('libs/settlement/src/settler.ts', 'test/settlement-fairness.test.ts', [
    [
      'a range is closed when all of it is drafted',
      'const closed = whole.length > 0 ?',
      'const closed = whole.length > 0 && drafting.length === 0 ?',
    ],
  ]),
  inFile('libs/settlement/src/settler.ts', 'test/settlement-fee-plans.test.ts', [
    [
      'a day that others begin is charged by the plans of before',
      'const plans = await this.#parts.plans.spansOf([...stepOf.keys()], this.#deadline(page));',
      'page.plans ??= await this.#parts.plans.spansOf([...stepOf.keys()], this.#deadline(page)); const { plans } = page;',
    ],
  ]),
  inFile('libs/platform/src/idempotency.ts', ROUTES, [
    ['the platform’s own requests see no merchant', '{ merchantIds, platform: true }', '{ merchantIds }'],
  ]),
  inFile('libs/platform/src/postgres.ts', SPANS, [
    ['since ever is no time at all', "if (text.endsWith('infinity'))", "if (text === 'infinity')"],
  ]),
  inFile('libs/fees/src/versions.ts', ROUTES, [
    ['the oldest version is shown', "addOrderBy('v.version', 'DESC')", "addOrderBy('v.version', 'ASC')"],
  ]),
].flat();
