import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createLogger } from '#platform/logging.js';
import type { Position } from '../log/position.js';
import { Relay, type RelayTarget } from './relay.js';
import type { RelayLease } from './relay-lease.js';
import type { RelayStore } from './relay-store.js';

const BUSY_MS = 25;
const IDLE_MS = 200;

/** How many events are committed and not relayed yet. */
let waiting = 0;
/** Where a merchant is that goes apart. */
let apartAt: Position | undefined;
let handedAt: number[] = [];
let relay: Relay;

const place = { xid: 1n, seq: 1n };
const store = {
  register: async () => undefined,
  next: async () => [
    ...(waiting === 0
      ? []
      : [{ partition: 0, after: place, through: place, count: waiting, isAgain: false, traces: [] }]),
    ...(apartAt
      ? [{ partition: 0, merchantId: 7n, after: apartAt, through: apartAt, count: 0, isAgain: false, traces: [] }]
      : []),
  ],
  move: async () => {
    waiting = 0;
    return new Set([0]);
  },
} as unknown as RelayStore;
const lease = { epochs: new Map([[0, 1n]]) } as unknown as RelayLease;
const target: RelayTarget = {
  consumer: 'resting',
  from: 'now',
  keepsPosition: false,
  batchSize: 100,
  dispatch: async () => void handedAt.push(performance.now()),
};

beforeEach(async () => {
  vi.useFakeTimers();
  [waiting, apartAt, handedAt] = [0, undefined, []];
  const logger = createLogger({ level: 'silent', service: 'test' });
  const options = { busyMs: BUSY_MS, idleMs: IDLE_MS, resendMs: 1_000 };
  relay = new Relay(target, { store, lease, logger }, options).start();
  await vi.advanceTimersByTimeAsync(2 * IDLE_MS);
});
afterEach(async () => {
  await relay.stop();
  vi.useRealTimers();
});

async function commit(): Promise<void> {
  waiting += 1;
  relay.hint();
  await vi.advanceTimersByTimeAsync(1);
}

it('a hint ends the wait of an idle log at once', async () => {
  const startedAt = performance.now();
  await commit();
  expect(handedAt.map((at) => at - startedAt)).toEqual([0]);
});

it('whoever has found something rests, however often it is hinted: what is committed meanwhile goes together', async () => {
  for (let ms = 0; ms < 4 * BUSY_MS; ms += 1) await commit();
  const rests = handedAt.slice(1).map((at, index) => at - (handedAt[index] ?? 0));
  expect(rests).toEqual(Array(4).fill(BUSY_MS));
});

it('whoever goes apart has its next turn as soon as its position has moved, and soon again where it has not', async () => {
  const turnsOnceAt = async (at: Position, ms: number) => {
    apartAt = at;
    relay.hint();
    await vi.advanceTimersByTimeAsync(ms);
    return handedAt.length;
  };
  expect(await turnsOnceAt(place, 2 * BUSY_MS)).toBe(1);
  const moved = { xid: 1n, seq: 2n };
  expect(await turnsOnceAt(moved, BUSY_MS)).toBe(2);
  expect(await turnsOnceAt(moved, 2 * IDLE_MS)).toBeGreaterThan(2);
});
