import { type FieldError, ProblemError } from '#kernel/problem.js';
import type { FeeRule } from './fee-plan.js';

/** Throws `validation_failed` with the path of each rule that contradicts itself or repeats another. */
export function checkRules(rules: readonly FeeRule[]): void {
  const errors = [...contradictions(rules), ...repetitions(rules)];
  const [first] = errors;
  if (first) throw new ProblemError('validation_failed', `${first.path}: ${first.message}`, { errors });
}

function contradictions(rules: readonly FeeRule[]): FieldError[] {
  return rules.flatMap(({ fixed, min = 0n, max }, index) => {
    if (max === undefined) return [];
    const message = `must be at most max, ${max}`;
    return [
      ...(fixed > max ? [{ path: `rules.${index}.fixed`, message }] : []),
      ...(min > max ? [{ path: `rules.${index}.min`, message }] : []),
    ];
  });
}

/** Of two that are for the same items from the same volume on, neither is the one. */
function repetitions(rules: readonly FeeRule[]): FieldError[] {
  const seen = new Map<string, number>();
  return rules.flatMap(({ appliesTo, currency, tierFrom }, index) => {
    const meant = `${appliesTo} ${currency} ${tierFrom}`;
    const before = seen.get(meant);
    if (before === undefined) seen.set(meant, index);
    const message = `is for the same items as rules.${before}: same applies_to, currency and tier_from`;
    return before === undefined ? [] : [{ path: `rules.${index}`, message }];
  });
}
