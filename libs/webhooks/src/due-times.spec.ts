import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { systemClock } from '#kernel/clock.js';
import { DueTimes } from './due-times.js';

let told: bigint[][];
let times: DueTimes;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  told = [];
  times = new DueTimes((merchantIds) => told.push([...merchantIds]), systemClock);
});
afterEach(() => {
  times.close();
  vi.useRealTimers();
});

test('each merchant is told at its own time, in whatever order the times were learned', () => {
  times.add(2n, 200);
  times.add(1n, 100);
  times.add(3n, 300);
  vi.advanceTimersByTime(99);
  expect(told).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(told).toEqual([[1n]]);
  vi.advanceTimersByTime(1_000);
  expect(told).toEqual([[1n], [2n], [3n]]);
});

test('the earliest time of a merchant counts, and is told once', () => {
  times.add(1n, 100);
  times.add(1n, 60_000);
  times.add(2n, 60_000);
  times.add(2n, 100);
  vi.advanceTimersByTime(100);
  expect(told).toEqual([[1n, 2n]]);
  vi.advanceTimersByTime(120_000);
  expect(told).toEqual([[1n, 2n]]);
});

test('a merchant that was told may have another time, and none is told once it is closed', () => {
  times.add(1n, 100);
  vi.advanceTimersByTime(100);
  times.add(1n, 100);
  vi.advanceTimersByTime(100);
  expect(told).toEqual([[1n], [1n]]);
  times.add(1n, 100);
  times.close();
  vi.advanceTimersByTime(1_000);
  expect(told).toHaveLength(2);
});
