import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SEED } from '../../../../test/support/seed.js';
import type { Submission } from './group-extension.js';
import { type Group, type LaneKind, Lines, type Waiting } from './lines.js';

const GROUP_SIZE = 8;
const steps = fc.array(
  fc.record({
    do: fc.constantFrom('push', 'push', 'push', 'take', 'done', 'leaveBehind', 'leaveOneByOne'),
    merchant: fc.bigInt({ min: 0n, max: 4n }),
    cost: fc.constantFrom(1, 1, 1, 2, 3, 7, 30),
    kind: fc.constantFrom<LaneKind[]>('shared', 'apart'),
  }),
  { maxLength: 150 },
);

/** Whatever comes, goes and is left behind, in whichever order. */
test('nobody is lost or has two groups in flight, groups are no larger than they may be, and whoever waits is taken', () => {
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 3 }), (all, lanes) => {
      const lines = new Lines({
        lanes,
        capacity: 1e6,
        merchantCapacity: 1e6,
        groupSize: GROUP_SIZE,
        weightOf: () => 1,
      });
      const inFlight: Group[] = [];
      const outside = new Set<Waiting>();
      const take = (kind: LaneKind): boolean => {
        const group = lines.take(kind);
        if (!group) return false;
        const cost = group.waiting.reduce((sum, one) => sum + one.cost, 0);
        expect(cost <= GROUP_SIZE || group.waiting.length === 1).toBe(true);
        if (kind === 'apart') expect(group.merchantIds.size).toBe(1);
        for (const { merchantIds } of inFlight) expect(merchantIds.isDisjointFrom(group.merchantIds)).toBe(true);
        for (const one of group.waiting) expect(outside.delete(one)).toBe(true);
        inFlight.push(group);
        return true;
      };
      for (const { do: step, merchant: merchantId, cost, kind } of all) {
        if (step === 'push') {
          const waiting = { submission: { merchantId } as Submission, cost } as Waiting;
          expect(lines.push(waiting)).toBe(true);
          outside.add(waiting);
        } else if (step === 'take') take(kind);
        else {
          const group = inFlight.shift();
          if (!group) continue;
          const own = group.waiting.filter(({ submission }) => submission.merchantId === [...group.merchantIds][0]);
          if (step !== 'done') {
            lines[step](own);
            for (const one of own) outside.add(one);
          }
          lines.done(group);
        }
        expect(lines.size).toBe(outside.size);
      }
      for (let group = inFlight.pop(); group; group = inFlight.pop()) lines.done(group);
      // With all lanes idle somebody is always taken, until nobody is left.
      while (outside.size > 0) {
        expect([take('shared'), take('apart')]).toContain(true);
        for (let group = inFlight.pop(); group; group = inFlight.pop()) lines.done(group);
      }
      expect(lines.size).toBe(0);
    }),
    { seed: SEED },
  );
});
