import { expect, it, vi } from 'vitest';
import type { EventBatch } from '../log/position.js';
import { JoinedStore } from './joined-store.js';
import type { RelayStore } from './relay-store.js';

const LIMITS = { batchSize: 10, resendMs: 1_000 };
const place = { xid: 7n, seq: 7n };
const batch: EventBatch = {
  partition: 3,
  after: { xid: 1n, seq: 1n },
  through: place,
  count: 1,
  isAgain: false,
  traces: [],
};
const handed = [{ partition: 3, epoch: 1n, through: place }];

/** Who was asked for in each statement. Each finds what `found` has; who is broken takes a joined statement along. */
function joined({ broken = '', found = (_name: string): EventBatch[] => [batch] } = {}) {
  const looks: string[][] = [];
  const moves: string[][] = [];
  const among = (names: string[]): void => {
    if (names.includes(broken)) throw new Error(`${broken} cannot`);
  };
  const store = {
    nextOf: async (targets: { consumer: string }[]) => {
      const names = targets.map(({ consumer }) => consumer);
      looks.push(names);
      among(names);
      return new Map(names.map((name) => [name, found(name)]));
    },
    next: async (name: string) => (await store.nextOf([{ consumer: name }])).get(name),
    moveOf: async (of: Map<string, unknown>) => {
      moves.push([...of.keys()]);
      among([...of.keys()]);
      return new Map([...of.keys()].map((name) => [name, new Set([3])]));
    },
    move: async (name: string) => (await store.moveOf(new Map([[name, handed]]))).get(name),
  };
  return { store: new JoinedStore(store as unknown as RelayStore), looks, moves };
}

it('relays that look at one moment look in one statement, and move in one once the last has dispatched', async () => {
  const { store, looks, moves } = joined();
  expect(await Promise.all(['a', 'b', 'c'].map((name) => store.next(name, [3], LIMITS)))).toEqual(
    Array(3).fill([batch]),
  );
  expect(looks).toEqual([['a', 'b', 'c']]);
  const [first, second] = [store.move('b', handed), store.move('a', handed)];
  expect(moves).toEqual([]);
  const third = store.move('c', handed);
  expect(await Promise.all([first, second, third])).toEqual(Array(3).fill(new Set([3])));
  expect(moves).toEqual([['b', 'a', 'c']]);
});

it('relays whose lease was renewed in between look each at the partitions they know of', async () => {
  const { store, looks } = joined();
  await Promise.all([store.next('a', [3], LIMITS), store.next('b', [3, 4], LIMITS), store.next('c', [3], LIMITS)]);
  expect(looks).toEqual([['a', 'c'], ['b']]);
});

it('whoever is slow to dispatch holds up the others for a moment alone', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  try {
    const { store, moves } = joined();
    await Promise.all(['slow', 'quick'].map((name) => store.next(name, [3], LIMITS)));
    const moved = store.move('quick', handed);
    await vi.advanceTimersByTimeAsync(9);
    expect(moves).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect([await moved, moves]).toEqual([new Set([3]), [['quick']]]);
    // And again, each time.
    await Promise.all(['slow', 'quick'].map((name) => store.next(name, [3], LIMITS)));
    const again = store.move('quick', handed);
    await vi.advanceTimersByTimeAsync(10);
    expect([await again, moves]).toEqual([new Set([3]), [['quick'], ['quick']]]);
    await store.move('slow', handed);
    await vi.advanceTimersByTimeAsync(100);
    expect(moves, 'nothing is moved without being told').toHaveLength(3);
  } finally {
    vi.useRealTimers();
  }
});

it('nobody waits for who has nothing to move: who found turns of merchants alone, or failed to dispatch and looks again', async () => {
  let isAgain = false;
  const turn: EventBatch = { ...batch, merchantId: 7n };
  const { store, moves } = joined({
    found: (name) => (name === 'turns' ? [turn] : name === 'failed' && isAgain ? [] : [batch]),
  });
  const look = (...names: string[]) => Promise.all(names.map((name) => store.next(name, [3], LIMITS)));
  await look('turns', 'quick');
  void store.move('quick', handed);
  expect(moves).toEqual([['quick']]);
  await look('failed', 'quick');
  isAgain = true;
  await look('failed');
  void store.move('quick', handed);
  expect(moves).toEqual([['quick'], ['quick']]);
});

it('what goes wrong for one is tried by each alone, and goes wrong for that one', async () => {
  const { store, looks, moves } = joined({ broken: 'b' });
  const names = ['a', 'b', 'c'];
  const found = await Promise.allSettled(names.map((name) => store.next(name, [3], LIMITS)));
  expect(found.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(looks).toEqual([names, ['a'], ['b'], ['c']]);
  const moved = await Promise.allSettled(names.map((name) => store.move(name, handed)));
  expect(moved.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(moves.at(-1)).toEqual(['c']);
});
