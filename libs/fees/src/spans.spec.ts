import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { FeePlanVersion } from './fee-plan.js';
import { feePlanSpans, type PlanFrom, planAt } from './spans.js';

const EVER = -Infinity;
const version = (planId: bigint, number: number, validFromMs: number): FeePlanVersion => ({
  planId,
  version: number,
  validFromMs,
  refundReturnsFee: false,
  rules: [],
});
const versions = (...of: FeePlanVersion[]) => Map.groupBy(of, ({ planId }) => planId);
const shown = (assignments: readonly PlanFrom[], of: ReturnType<typeof versions>) =>
  feePlanSpans(assignments, of).map(({ fromMs, plan }) => [fromMs, plan && `${plan.planId}.${plan.version}`]);

it('without a plan there is one span of none', () => {
  expect(feePlanSpans([], new Map())).toEqual([{ fromMs: EVER, plan: undefined }]);
});

it('one plan since ever is one span of its one version', () => {
  expect(shown([{ planId: 1n, validFromMs: EVER }], versions(version(1n, 1, EVER)))).toEqual([[EVER, '1.1']]);
});

it('assignments and versions cut each other', () => {
  const of = versions(
    version(1n, 1, EVER),
    version(1n, 2, 200),
    version(1n, 3, 900),
    version(2n, 1, 350),
    version(2n, 2, 400),
  );
  const assignments = [
    { planId: 1n, validFromMs: 100 },
    { planId: 2n, validFromMs: 300 },
    { planId: 1n, validFromMs: 500 },
  ];
  expect(shown(assignments, of)).toEqual([
    [EVER, undefined],
    [100, '1.1'],
    [200, '1.2'],
    [300, undefined],
    [350, '2.1'],
    [400, '2.2'],
    [500, '1.2'],
    [900, '1.3'],
  ]);
});

it('being put on the same plan again cuts nothing', () => {
  const of = versions(version(1n, 1, EVER), version(1n, 2, 200));
  const assignments = [EVER, 100, 300].map((validFromMs) => ({ planId: 1n, validFromMs }));
  expect(shown(assignments, of)).toEqual([
    [EVER, '1.1'],
    [200, '1.2'],
  ]);
});

const TIMES = fc.oneof(fc.constant(EVER), fc.nat(12));
const distinct = <T>(times: fc.Arbitrary<T>) => fc.uniqueArray(times, { maxLength: 5 });
const ascending = (times: number[]) => [...times].sort((a, b) => (a < b ? -1 : 1));

it('at each time the version counts that the assignment then and its plan then say', () => {
  fc.assert(
    fc.property(
      distinct(TIMES),
      distinct(TIMES),
      distinct(TIMES),
      fc.infiniteStream(fc.boolean()),
      (at, one, two, which) => {
        const assignments = ascending(at).map((validFromMs) => ({
          planId: which.next().value ? 1n : 2n,
          validFromMs,
        }));
        const of = versions(
          ...ascending(one).map((from, index) => version(1n, index + 1, from)),
          ...ascending(two).map((from, index) => version(2n, index + 1, from)),
        );
        const spans = feePlanSpans(assignments, of);
        for (const ms of [-1e15, ...Array.from({ length: 14 }, (_, time) => time - 0.5), 1e15]) {
          const assigned = assignments.filter(({ validFromMs }) => validFromMs <= ms).pop();
          const meant = (assigned ? (of.get(assigned.planId) ?? []) : []).filter(
            ({ validFromMs }) => validFromMs <= ms,
          );
          expect(planAt(spans, ms)).toBe(meant.pop());
        }
        expect(spans[0]?.fromMs).toBe(EVER);
        spans.slice(1).forEach(({ fromMs, plan }, index) => {
          expect(fromMs).toBeGreaterThan(spans[index]?.fromMs as number);
          expect(plan).not.toBe(spans[index]?.plan);
        });
      },
    ),
    { seed: 20_261_127, numRuns: 500 },
  );
});
