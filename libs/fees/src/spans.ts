import type { FeePlanSpan, FeePlanVersion } from './fee-plan.js';

/** From when on a merchant is on a plan: until the next one's. */
export interface PlanFrom {
  readonly planId: bigint;
  /** -Infinity: since ever. */
  readonly validFromMs: number;
}

/**
 * When which version of which plan counts for a merchant: all of time, oldest first. `assignments`: the merchant's, oldest first;
 * `versions`: of each plan, oldest first.
 */
export function feePlanSpans(
  assignments: readonly PlanFrom[],
  versions: ReadonlyMap<bigint, readonly FeePlanVersion[]>,
): FeePlanSpan[] {
  const spans: FeePlanSpan[] = [{ fromMs: -Infinity, plan: undefined }];
  assignments.forEach(({ planId, validFromMs }, index) => {
    const untilMs = assignments[index + 1]?.validFromMs ?? Infinity;
    append(spans, { fromMs: validFromMs, plan: undefined });
    for (const plan of versions.get(planId) ?? []) {
      const fromMs = Math.max(plan.validFromMs, validFromMs);
      if (fromMs < untilMs) append(spans, { fromMs, plan });
    }
  });
  return spans;
}

/** A span that begins when the one before does leaves it no time. */
function append(spans: FeePlanSpan[], span: FeePlanSpan): void {
  if (spans.at(-1)?.fromMs === span.fromMs) spans.pop();
  if (spans.length === 0 || spans.at(-1)?.plan !== span.plan) spans.push(span);
}

/** The version that counts at a time. `spans`: as above. */
export function planAt(spans: readonly FeePlanSpan[], atMs: number): FeePlanVersion | undefined {
  return spans.findLast(({ fromMs }) => fromMs <= atMs)?.plan;
}
