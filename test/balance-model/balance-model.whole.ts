import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MUTANTS, NOT_NEEDED } from './mutants.js';
import { eviction, F, FT, healed, keyLoss, type Protocol, processes, T, unconfirmed } from './protocol.js';
import { FILL_THAT_DOES_NOT_INVALIDATE, Suite } from './suite.js';

/** npm run test:model: what `npm test` has no time for. Minutes. */
let suite: Suite;
beforeAll(async () => {
  suite = await Suite.open();
});
afterAll(() => suite.close());

const holds = async (protocol: Protocol): Promise<void> => {
  expect(await suite.explore(protocol, 20_000_000)).toMatchObject({ bad: undefined, exhausted: true });
};

describe('each fault class', () => {
  test.each([processes(F), processes(FT), eviction(FT), processes(T), eviction(T)])('$name holds', holds);

  // What is known of a key that was evicted is known of one that the monitor healed: not one state is new.
  test.each([
    { protocol: healed(eviction(F)), states: 65_266 },
    { protocol: healed(keyLoss(FT)), states: 112_169 },
    { protocol: healed(keyLoss(T)), states: 9_401 },
  ])('$protocol.name holds, in the states that it has without', async ({ protocol, states }) => {
    expect(await suite.explore(protocol)).toMatchObject({ bad: undefined, exhausted: true, states });
  });

  test('a reader need not invalidate what `read` reported to it, healed or not', async () => {
    const protocol = keyLoss({ ...FT, name: 'FT, readers trust the floor', reportsFloor: true });
    await holds(protocol);
    await holds(healed(protocol));
  });

  test('with fences that arrive at any time, FT holds', () => holds(unconfirmed(keyLoss(FT))));

  test('with fences that arrive at any time, F holds for all but silent readers: 2 writes', async () => {
    const protocol = eviction({ ...F, name: 'F without silent readers', checkLatest: false, ackOnly: true });
    await holds({ ...unconfirmed(protocol), writers: 2 });
  });

  test('with Redis dying and coming back empty, FT and T hold', async () => {
    for (const protocol of [FT, T]) {
      await holds(
        keyLoss({
          ...protocol,
          name: `${protocol.name}, outages, fences optional`,
          outages: true,
          mayNotFence: protocol === FT,
        }),
      );
    }
  });

  test('with publishes and fills that come too late, and fences that are left out, all hold', async () => {
    await holds(eviction({ ...F, name: 'F, may be late', mayBeLate: true }));
    await holds(keyLoss({ ...FT, name: 'FT, may be late, fences optional', mayBeLate: true, mayNotFence: true }));
    await holds(keyLoss({ ...T, name: 'T, may be late', mayBeLate: true }));
  });

  test('fences alone do not survive the loss of a key; acknowledgements and cached reads among themselves do', async () => {
    const protocol = keyLoss({ ...F, checkLatest: false });
    expect((await suite.explore(protocol)).trace).toHaveLength(10);
    await holds({ ...protocol, name: `${protocol.name}, database reads teach nobody`, ackOnly: true });
  });

  test('X1: on FT a silent reader may see a version that the cache does not serve yet, when a key is lost', async () => {
    expect((await suite.explore(keyLoss({ ...FT, name: 'FT and silent readers', silent: true }))).bad).toBeDefined();
    await holds(eviction({ ...FT, name: 'FT and silent readers', silent: true }));
  });
});

describe('4 writes and 3 fillers', () => {
  test.each([
    { protocol: eviction({ ...F, takeover: false, patches: [FILL_THAT_DOES_NOT_INVALIDATE] }), states: 919_326 },
    { protocol: keyLoss({ ...FT, takeover: false }), states: 2_072_327 },
  ])('$protocol.name has the $states states of the model', async ({ protocol, states }) => {
    const found = await suite.explore({ ...protocol, writers: 4, readers: 3 }, 20_000_000);
    expect(found).toMatchObject({ bad: undefined, exhausted: true, states });
  });
});

describe('a mutant has the verdicts of the model in every suite, where it does no harm included', () => {
  test.each([...MUTANTS, ...NOT_NEEDED])('$name', async (mutant) => {
    expect(await suite.stepsOf(mutant)).toEqual(mutant.steps);
  });
});

describe('deadlines', () => {
  // The first two have as many states as the design's model with the three changes that ADR 8 names.
  test.each([
    { name: '3 versions', failover: false, versions: 3, readers: 2, states: 355_531 },
    { name: 'failover to an old copy', failover: true, versions: 2, readers: 1, states: 366_348 },
    {
      name: 'late fences, invalidated behind them',
      failover: false,
      lateFence: 'invalidated' as const,
      versions: 2,
      readers: 1,
      states: 15_162,
    },
  ])('$name: no balance is served one TTL or more after it was superseded', async ({ states, ...rule }) => {
    expect(await suite.exploreTimed({ ...rule, patches: [] })).toMatchObject({ trace: [], states });
  });
});
