import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { Submission } from './group-extension.js';
import { type Group, Lines, type LinesOptions, type Waiting } from './lines.js';

const [X, Y, Z] = [1n, 2n, 3n];

function open(options: Partial<LinesOptions> = {}): Lines {
  return new Lines({
    lanes: 1,
    capacity: 1_000,
    merchantCapacity: 1_000,
    groupSize: 10,
    weightOf: () => 1,
    ...options,
  });
}

function waiting(merchantId: bigint, cost = 1): Waiting {
  const ignore = () => undefined;
  const submission = { merchantId } as Submission;
  return { submission, cost, enqueuedAt: 0, attempts: 0, missed: 0, resolve: ignore, reject: ignore };
}

/** As many of these merchants' as there are; answers what came of each. */
function push(lines: Lines, ...merchants: bigint[]): boolean[] {
  return merchants.map((merchantId) => lines.push(waiting(merchantId)));
}

const merchantsOf = (group: Group | undefined) => group?.waiting.map(({ submission }) => submission.merchantId);

describe('who waits for a commit group', () => {
  test('is taken in turn by merchant, however many of another wait before', () => {
    const lines = open({ groupSize: 4 });
    push(lines, ...Array<bigint>(20).fill(X), Y, Z);
    expect(merchantsOf(lines.take('shared'))).toEqual([X, Y, Z, X]);
  });

  test('has as much of a group as its weight is of all that wait', () => {
    const lines = open({ groupSize: 8, weightOf: (merchantId) => (merchantId === Y ? 3 : 1) });
    push(lines, ...Array<bigint>(20).fill(X), ...Array<bigint>(20).fill(Y));
    expect(merchantsOf(lines.take('shared'))).toEqual([X, Y, Y, Y, X, Y, Y, Y]);
  });

  test('has as many groups of those that go apart as its weight is of all that do', () => {
    const lines = open({ weightOf: (merchantId) => (merchantId === Y ? 3 : 1) });
    for (let count = 0; count < 12; count += 1) for (const merchantId of [X, Y]) lines.push(waiting(merchantId, 30));
    const taken = Array.from({ length: 8 }, () => {
      const group = lines.take('apart') as Group;
      lines.done(group);
      return merchantsOf(group)?.[0];
    });
    expect(taken.filter((merchantId) => merchantId === Y)).toHaveLength(6);
  });

  test('has one group in flight, in whichever lane', () => {
    const lines = open();
    push(lines, X, Y);
    lines.push(waiting(X, 50));
    const group = lines.take('shared') as Group;
    push(lines, X, Y, Z);
    expect(lines.take('apart')).toBeUndefined();
    expect(merchantsOf(lines.take('shared'))).toEqual([Z]);
    expect(lines.take('shared')).toBeUndefined();
    lines.done(group);
    expect(merchantsOf(lines.take('apart'))).toEqual([X]);
    expect(merchantsOf(lines.take('shared'))).toEqual([Y]);
  });

  test('goes apart with more than a group, by itself; its small requests and its large ones take turns', () => {
    const lines = open();
    for (const merchantId of [X, X, Y]) lines.push(waiting(merchantId, 11));
    push(lines, X, X);
    const large = lines.take('apart') as Group;
    expect(merchantsOf(large)).toEqual([X]);
    expect([lines.take('shared'), merchantsOf(lines.take('apart'))]).toEqual([undefined, [Y]]);
    lines.done(large);
    expect(lines.take('apart')).toBeUndefined();
    const small = lines.take('shared') as Group;
    expect(merchantsOf(small)).toEqual([X, X]);
    push(lines, X);
    lines.done(small);
    expect(lines.take('shared')).toBeUndefined();
    expect(merchantsOf(lines.take('apart'))).toEqual([X]);
  });

  test('is shared by all lanes, whether they are busy or idle', () => {
    const merchants = Array.from({ length: 6 }, (_, index) => BigInt(index));
    const lines = open({ lanes: 2 });
    push(lines, ...merchants, ...merchants);
    const first = lines.take('shared') as Group;
    expect(merchantsOf(first)).toEqual([0n, 1n, 2n, 0n, 1n, 2n]);
    expect(merchantsOf(lines.take('shared'))?.toSorted()).toEqual([3n, 3n, 4n, 4n, 5n, 5n]);
    push(lines, ...merchants, 6n);
    lines.done(first);
    // Seven are there, three of them in flight.
    expect(new Set(merchantsOf(lines.take('shared')))).toEqual(new Set([6n, 0n, 1n, 2n]));
  });

  test('is shared by all lanes again once their groups are done', () => {
    const lines = open({ lanes: 2 });
    for (let round = 0; round < 3; round += 1) {
      push(lines, 1n, 2n, 3n, 4n);
      const groups = [lines.take('shared'), lines.take('shared')] as [Group, Group];
      expect(groups.map(({ merchantIds }) => merchantIds.size)).toEqual([2, 2]);
      for (const group of groups) lines.done(group);
    }
  });

  test('is full by itself, and in all; what waits to be answered counts', () => {
    const lines = open({ capacity: 5, merchantCapacity: 2 });
    expect(push(lines, X, X, X, Y)).toEqual([true, true, false, true]);
    const group = lines.take('shared') as Group;
    lines.publishing(group.waiting);
    lines.done(group);
    expect([lines.size, ...push(lines, X, Y, Y, Z, Z)]).toEqual([3, false, true, false, true, false]);
    lines.answered(group.waiting);
    expect([lines.size, ...push(lines, X)]).toEqual([2, true]);
  });

  test('that was left behind comes first again, in its order and apart, and so does what comes soon after', () => {
    const lines = open();
    push(lines, X, Y, X);
    const group = lines.take('shared') as Group;
    const behind = group.waiting.filter(({ submission }) => submission.merchantId === X);
    push(lines, X, Y);
    lines.leaveBehind(behind);
    lines.done(group);
    expect(merchantsOf(lines.take('shared'))).toEqual([Y]);
    const apart = lines.take('apart') as Group;
    expect(apart.waiting).toEqual(behind);
    lines.done(apart);
    const before = lines.take('shared') as Group;
    expect(merchantsOf(before)).toEqual([X]);
    lines.done(before);
    push(lines, X);
    expect([lines.take('shared'), merchantsOf(lines.take('apart'))]).toEqual([undefined, [X]]);
  });

  test('goes with the others again some seconds after it was left behind', () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const lines = open();
    push(lines, X);
    const group = lines.take('shared') as Group;
    lines.leaveBehind(group.waiting);
    lines.done(group);
    lines.done(lines.take('apart') as Group);
    vi.advanceTimersByTime(5_001);
    push(lines, X);
    expect([lines.take('apart'), merchantsOf(lines.take('shared'))]).toEqual([undefined, [X]]);
  });

  test('apart, merchants take turns, too', () => {
    const lines = open();
    for (const merchantId of [X, X, X, Y]) lines.push(waiting(merchantId, 11));
    const first = lines.take('apart') as Group;
    lines.done(first);
    expect([merchantsOf(first), merchantsOf(lines.take('apart'))]).toEqual([[X], [Y]]);
  });
});
