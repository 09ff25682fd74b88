import { describe, expect, test } from 'vitest';
import { Rooms } from './rooms.js';

const [A, B, C] = [1n, 2n, 3n] as const;
/** Merchants whose endpoints may wait for what was given back. */
let told: bigint[] = [];

function roomsOf(options: Partial<{ concurrency: number; merchantConcurrency: number; slowConcurrency: number }> = {}) {
  return new Rooms({ concurrency: 4, merchantConcurrency: 2, slowConcurrency: 1, ...options }, (merchantId) =>
    told.push(merchantId),
  );
}

const claim = (rooms: Rooms, ...merchantIds: bigint[]) => {
  rooms.reserve();
  return rooms.settle(
    merchantIds,
    merchantIds.map((merchantId) => ({ merchantId })),
  );
};

describe('rooms for requests', () => {
  test('are as many as there are in all, and for one merchant', () => {
    const rooms = roomsOf({ concurrency: 3 });
    const [first] = claim(rooms, A);
    expect(rooms.take(A)).toBeDefined();
    expect(rooms.take(A)).toBeUndefined();
    expect(rooms.take(B)).toBeDefined();
    expect(rooms.isFull).toBe(true);
    expect(rooms.take(C)).toBeUndefined();
    if (first) rooms.give(first);
    expect(rooms.take(C)).toBeDefined();
  });

  test('are nobody else’s while endpoints are claimed', () => {
    const rooms = roomsOf();
    expect(rooms.reserve()).toBe(4);
    expect(rooms.take(A)).toBeUndefined();
    rooms.settle([A], []);
    expect(rooms.take(A)).toBeDefined();
  });

  test('go to endpoints that wait before those that have one: of anybody, or of the same merchant', () => {
    told = [];
    const rooms = roomsOf();
    const [first] = claim(rooms, A, A);
    const [other] = claim(rooms, B);
    expect([rooms.isAwaitedBy(A), rooms.isAwaitedBy(B)]).toEqual([true, false]);
    if (other) rooms.give(other);
    expect(told).toEqual([]);
    if (first) rooms.give(first);
    expect(told).toEqual([A]);
    expect(rooms.take(A)).toBeUndefined();
    rooms.settle([A], []);
    expect(rooms.take(A)).toBeDefined();
    rooms.isAwaited = true;
    expect(rooms.take(B)).toBeUndefined();
  });

  test('are others’ while their request is slow, as far as there is room for slow ones; their merchant has no more of them', async () => {
    const rooms = roomsOf({ concurrency: 2 });
    const [first, second] = claim(rooms, A, A);
    if (!first || !second) throw new Error('no rooms');
    const { given } = rooms;
    rooms.linger(first);
    await given;
    expect([rooms.slow, rooms.isFull, rooms.inHandOf(A), rooms.take(A)]).toEqual([1, false, 2, undefined]);
    rooms.linger(second);
    expect([rooms.slow, rooms.reserve()]).toEqual([1, 1]);
    rooms.settle([], []);
    rooms.give(first);
    expect([rooms.slow, rooms.reserve(), rooms.inHandOf(A)]).toEqual([1, 2, 1]);
    rooms.give(second);
    rooms.settle([A], []);
    expect([rooms.slow, rooms.reserve(), rooms.inHandOf(A)]).toEqual([0, 2, 0]);
  });

  test('do not move when their request has ended meanwhile', () => {
    const rooms = roomsOf();
    const [first, second] = claim(rooms, A, B);
    if (!first || !second) throw new Error('no rooms');
    rooms.linger(first);
    rooms.linger(second);
    rooms.quicken(second);
    rooms.give(first);
    expect([rooms.slow, second.isSlow]).toEqual([0, false]);
  });
});
