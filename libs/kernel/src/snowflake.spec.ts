import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Clock } from './clock.js';
import { isPassing } from './problem.js';
import {
  EPOCH_MS,
  firstSnowflakeAt,
  MAX_WORKER_ID,
  parseSnowflake,
  SnowflakeGenerator,
  SnowflakeRefused,
  snowflakeTimeMs,
  type WorkerLease,
} from './snowflake.js';

const START_MS = EPOCH_MS + 60_000_000_000;
const PER_MS = 4_096;
const MAX_ID = (1n << 63n) - 1n;
const SEED = 20_261_121;

class ManualClock implements Clock {
  constructor(public nowMs = START_MS) {}
  now = (): number => this.nowMs;
  monotonic = (): number => this.nowMs;
}

class ManualLease implements WorkerLease {
  issuableFromMs = 0;
  untilMs = Number.MAX_SAFE_INTEGER;
  constructor(public workerId = 7) {}
  issuableUntilMs = (): number => this.untilMs;
}

function setUp(workerId = 7) {
  const clock = new ManualClock();
  const lease = new ManualLease(workerId);
  return { clock, lease, ids: new SnowflakeGenerator(clock, lease) };
}

const refusal = (reason: RegExp) => expect.objectContaining({ cause: expect.stringMatching(reason) });

function workerOf(id: bigint): number {
  return Number((id >> 12n) & 0x3ffn);
}

describe('an id', () => {
  it('carries its millisecond, worker and sequence in 41, 10 and 12 bits', () => {
    const { ids } = setUp(0x2a5);
    ids.next();
    const second = ids.next();
    expect(second >> 22n).toBe(BigInt(START_MS - EPOCH_MS));
    expect(workerOf(second)).toBe(0x2a5);
    expect(second & 0xfffn).toBe(1n);
    expect(snowflakeTimeMs(second)).toBe(START_MS);
  });

  it('survives the way through text', () => {
    const anyId = fc.bigInt({ min: 1n, max: MAX_ID });
    fc.assert(
      fc.property(anyId, (id) => {
        expect(parseSnowflake(String(id))).toBe(id);
      }),
      { seed: SEED },
    );
  });

  it.each([
    '',
    '0',
    '01',
    '-1',
    '+1',
    ' 1',
    '1 ',
    '1\n',
    '1.0',
    '1e3',
    '0x1',
    '1n',
    '٣',
    '9223372036854775808',
    '99999999999999999999',
    '1'.repeat(400),
  ])('%j is not one', (text) => {
    expect(parseSnowflake(text)).toBeUndefined();
  });

  it('lies at or above the first of its millisecond and below the first of the next', () => {
    const anyTime = fc.integer({ min: EPOCH_MS + 1, max: EPOCH_MS + 2 ** 41 - 2 });
    fc.assert(
      fc.property(anyTime, fc.bigInt({ min: 0n, max: (1n << 22n) - 1n }), (timeMs, low) => {
        const id = firstSnowflakeAt(timeMs) + low;
        expect(snowflakeTimeMs(id)).toBe(timeMs);
        expect(id < firstSnowflakeAt(timeMs + 1)).toBe(true);
      }),
      { seed: SEED },
    );
  });

  it('bounds are clamped to the range of ids', () => {
    expect(firstSnowflakeAt(0)).toBe(0n);
    expect(firstSnowflakeAt(EPOCH_MS)).toBe(0n);
    expect(firstSnowflakeAt(Date.UTC(9999, 0, 1))).toBe(MAX_ID);
  });
});

describe('issuing', () => {
  it('that is refused says nothing of what the id was for: the same may well succeed another time', () => {
    expect(isPassing(new SnowflakeRefused('the clock went back'))).toBe(true);
  });

  it('200,000 ids ascend without a duplicate', () => {
    const { clock, ids } = setUp();
    let last = 0n;
    for (let n = 0; n < 200_000; n += 1) {
      if (n % 1_000 === 0) clock.nowMs += 1;
      const id = ids.next();
      if (id <= last) expect.fail(`id ${n} is ${id}, not above ${last}`);
      last = id;
    }
    expect(snowflakeTimeMs(last)).toBe(clock.nowMs);
  });

  it('the 4,097th id of a millisecond takes the next one', () => {
    const { ids } = setUp();
    const first = Array.from({ length: PER_MS }, () => ids.next());
    expect(first.every((id) => snowflakeTimeMs(id) === START_MS)).toBe(true);
    expect(new Set(first).size).toBe(PER_MS);
    const following = ids.next();
    expect(snowflakeTimeMs(following)).toBe(START_MS + 1);
    expect(following & 0xfffn).toBe(0n);
  });

  it('a burst runs ahead of the clock by its lead and is then refused until the clock follows', () => {
    const clock = new ManualClock();
    const ids = new SnowflakeGenerator(clock, new ManualLease(), 2);
    for (let n = 0; n < 3 * PER_MS; n += 1) ids.next();
    expect(() => ids.next()).toThrow(SnowflakeRefused);
    clock.nowMs += 1;
    expect(snowflakeTimeMs(ids.next())).toBe(START_MS + 3);
  });

  it('two generators with different workers never issue the same id', () => {
    const clock = new ManualClock();
    const one = new SnowflakeGenerator(clock, new ManualLease(0));
    const other = new SnowflakeGenerator(clock, new ManualLease(MAX_WORKER_ID));
    const issued = Array.from({ length: 10_000 }, () => [one.next(), other.next()]).flat();
    expect(new Set(issued).size).toBe(20_000);
  });
});

describe('a clock that goes back', () => {
  it('by less than the lead goes unnoticed: ids still ascend', () => {
    const { clock, ids } = setUp();
    const before = ids.next();
    clock.nowMs -= 999;
    expect(ids.next()).toBe(before + 1n);
  });

  it.each([5_000, 3_600_000])(
    'by %i ms refuses until it is within the lead again, then goes on ascending',
    (backMs) => {
      const { clock, ids } = setUp();
      const before = ids.next();
      clock.nowMs -= backMs;
      expect(() => ids.next()).toThrow(refusal(/ahead of this machine's clock/));
      clock.nowMs = START_MS - 1_001;
      expect(() => ids.next()).toThrow(SnowflakeRefused);
      clock.nowMs = START_MS - 1_000;
      expect(ids.next()).toBe(before + 1n);
    },
  );

  it('a refusal leaves no trace: the next id is the one that would have come', () => {
    const { clock, ids } = setUp();
    const before = ids.next();
    clock.nowMs -= 5_000;
    for (let n = 0; n < 10; n += 1) expect(() => ids.next()).toThrow(SnowflakeRefused);
    clock.nowMs = START_MS;
    expect(ids.next()).toBe(before + 1n);
  });

  it('to before the epoch is refused instead of issuing negative ids', () => {
    const { clock, ids } = setUp();
    clock.nowMs = EPOCH_MS - 1;
    expect(() => ids.next()).toThrow(SnowflakeRefused);
    clock.nowMs = 0;
    expect(() => ids.next()).toThrow(SnowflakeRefused);
  });
});

describe('a lease', () => {
  it('bounds the millisecond of every id, inclusively', () => {
    const { clock, lease, ids } = setUp();
    lease.untilMs = START_MS;
    ids.next();
    clock.nowMs += 1;
    expect(() => ids.next()).toThrow(refusal(/lease on worker id 7 has run out/));
  });

  it('that runs out stops a burst from taking a later millisecond', () => {
    const { lease, ids } = setUp();
    lease.untilMs = START_MS;
    for (let n = 0; n < PER_MS; n += 1) ids.next();
    expect(() => ids.next()).toThrow(SnowflakeRefused);
  });

  it('that is lost stops issuing at once', () => {
    const { lease, ids } = setUp();
    ids.next();
    lease.untilMs = 0;
    expect(() => ids.next()).toThrow(SnowflakeRefused);
  });

  it('on a smaller worker id within the same millisecond still issues a greater id', () => {
    const { lease, ids } = setUp(900);
    const before = ids.next();
    lease.workerId = 3;
    const after = ids.next();
    expect(after > before).toBe(true);
    expect(workerOf(after)).toBe(3);
  });

  it('on a greater worker id does not make the last id look older than an `after` it exceeds', () => {
    const { lease, ids } = setUp(3);
    const before = ids.next();
    lease.workerId = 900;
    const foreign = firstSnowflakeAt(START_MS) + (500n << 12n);
    expect(foreign > before).toBe(true);
    expect(ids.next(foreign) > foreign).toBe(true);
  });

  it('begins where an earlier holder of the worker id must have ended, though the clock went back since', () => {
    const { clock, lease, ids } = setUp();
    const earlier = ids.next();
    lease.issuableFromMs = START_MS + 1;
    clock.nowMs = START_MS;
    const heir = new SnowflakeGenerator(clock, lease);
    expect(heir.next() > earlier).toBe(true);
    clock.nowMs -= 3_600_000;
    expect(() => new SnowflakeGenerator(clock, lease).next()).toThrow(SnowflakeRefused);
  });
});

describe('passing an id of another process', () => {
  it('from the future takes the millisecond after it', () => {
    const { ids } = setUp();
    const foreign = firstSnowflakeAt(START_MS + 500) + 12_345n;
    const id = ids.next(foreign);
    expect(id > foreign).toBe(true);
    expect(snowflakeTimeMs(id)).toBe(START_MS + 501);
    expect(ids.next()).toBe(id + 1n);
  });

  it('of the same millisecond takes the next one, whatever its worker', () => {
    for (const worker of [0n, 7n, 1_023n]) {
      const { ids } = setUp();
      const foreign = firstSnowflakeAt(START_MS) + (worker << 12n) + 4_095n;
      expect(ids.next(foreign) > foreign).toBe(true);
    }
  });

  it('from the past costs nothing', () => {
    const { ids } = setUp();
    const last = ids.next();
    expect(ids.next(firstSnowflakeAt(START_MS - 1))).toBe(last + 1n);
    expect(ids.next(last)).toBe(last + 2n);
  });

  it('beyond the lead is refused, and does not spoil the ids that follow', () => {
    const { ids } = setUp();
    expect(() => ids.next(firstSnowflakeAt(START_MS + 1_000))).toThrow(SnowflakeRefused);
    expect(snowflakeTimeMs(ids.next())).toBe(START_MS);
  });
});

type Walk =
  | { do: 'clock'; byMs: number }
  | { do: 'worker'; id: number }
  | { do: 'lease'; forMs: number }
  | { do: 'issue'; count: number; afterOffsetMs: number | undefined; afterLow: bigint };

const jump = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: -3, max: 5 }) },
  { weight: 2, arbitrary: fc.integer({ min: -2_000, max: 2_000 }) },
  { weight: 1, arbitrary: fc.constantFrom(-3_600_000, -5_000, 5_000, 3_600_000) },
);

const walk: fc.Arbitrary<Walk> = fc.oneof(
  fc.record({ do: fc.constant('clock' as const), byMs: jump }),
  fc.record({ do: fc.constant('worker' as const), id: fc.integer({ min: 0, max: MAX_WORKER_ID }) }),
  fc.record({ do: fc.constant('lease' as const), forMs: fc.integer({ min: -1, max: 3_000 }) }),
  fc.record({
    do: fc.constant('issue' as const),
    count: fc.oneof(
      { weight: 9, arbitrary: fc.integer({ min: 1, max: 20 }) },
      { weight: 1, arbitrary: fc.constant(PER_MS + 1) },
    ),
    afterOffsetMs: fc.option(fc.integer({ min: -5, max: 1_200 }), { nil: undefined }),
    afterLow: fc.bigInt({ min: 0n, max: (1n << 22n) - 1n }),
  }),
);

it('whatever clock, lease and worker id do, each id exceeds the one before it and its `after`, within lead and lease', () => {
  const seen = { issued: 0, refused: 0 };
  fc.assert(
    fc.property(fc.array(walk, { minLength: 1, maxLength: 40 }), (steps) => {
      const { clock, lease, ids } = setUp();
      lease.untilMs = START_MS + 10_000;
      let last = 0n;
      for (const step of steps) {
        if (step.do === 'clock') clock.nowMs += step.byMs;
        else if (step.do === 'worker') lease.workerId = step.id;
        else if (step.do === 'lease') lease.untilMs = clock.nowMs + step.forMs;
        else {
          const after =
            step.afterOffsetMs === undefined ? 0n : firstSnowflakeAt(clock.nowMs + step.afterOffsetMs) + step.afterLow;
          for (let n = 0; n < step.count; n += 1) {
            let id: bigint;
            try {
              id = ids.next(after);
            } catch (error) {
              if (!(error instanceof SnowflakeRefused)) throw error;
              seen.refused += 1;
              break;
            }
            seen.issued += 1;
            const timeMs = snowflakeTimeMs(id);
            const kept =
              id > last &&
              id > after &&
              timeMs <= clock.nowMs + 1_000 &&
              timeMs <= lease.untilMs &&
              workerOf(id) === lease.workerId;
            if (!kept) expect.fail(`id ${id} after ${last} and ${after} at ${clock.nowMs}`);
            last = id;
          }
        }
      }
    }),
    { seed: SEED, numRuns: 500 },
  );
  expect(seen.issued).toBeGreaterThan(10_000);
  expect(seen.refused).toBeGreaterThan(100);
});

it('worker ids that pass from process to process, under clocks that disagree, never lead to a duplicate', () => {
  // The claim rule of PostgresWorkerLease: run out by the database's clock, and issuable_until past by both clocks.
  const LEASE_MS = 30;
  const action = fc.record({
    process: fc.integer({ min: 0, max: 2 }),
    do: fc.constantFrom('issue', 'issue', 'issue', 'claim', 'renew', 'lose', 'clock', 'database clock', 'restart'),
    worker: fc.integer({ min: 0, max: 1 }),
    byMs: fc.integer({ min: -60, max: 60 }),
  });
  let claims = 0;
  let issued = 0;
  fc.assert(
    fc.property(fc.array(action, { minLength: 20, maxLength: 120 }), (actions) => {
      let databaseMs = START_MS;
      const rows = [0, 1].map(() => ({ holder: -1, expiresAt: 0, issuableUntil: 0 }));
      const processes = [0, 1, 2].map(() => {
        const { clock, lease, ids } = setUp(0);
        lease.untilMs = 0;
        return { clock, lease, ids };
      });
      const all = new Set<bigint>();
      for (const { process: index, do: what, worker, byMs } of actions) {
        const process = processes[index];
        const row = rows[worker];
        if (!process || !row) throw new Error('no such process or row');
        if (what === 'clock') process.clock.nowMs += byMs;
        else if (what === 'database clock') databaseMs += Math.abs(byMs);
        else if (what === 'restart') {
          process.ids = new SnowflakeGenerator(process.clock, process.lease);
          process.lease.untilMs = 0;
        } else if (what === 'renew') {
          if (row.holder !== index || process.lease.workerId !== worker || process.lease.untilMs === 0) continue;
          row.expiresAt = databaseMs + LEASE_MS;
          row.issuableUntil = Math.max(row.issuableUntil, process.clock.nowMs + LEASE_MS);
          process.lease.untilMs = row.issuableUntil;
        } else if (what === 'lose') {
          for (const held of rows) if (held.holder === index) held.expiresAt = databaseMs - 1;
          process.lease.untilMs = 0;
        } else if (what === 'claim') {
          const nowMs = process.clock.nowMs;
          if (row.expiresAt < databaseMs && row.issuableUntil < Math.min(databaseMs, nowMs)) {
            Object.assign(row, { holder: index, expiresAt: databaseMs + LEASE_MS, issuableUntil: nowMs + LEASE_MS });
            Object.assign(process.lease, { workerId: worker, issuableFromMs: nowMs, untilMs: nowMs + LEASE_MS });
            claims += 1;
          }
        } else {
          try {
            const id = process.ids.next();
            if (all.has(id)) expect.fail(`id ${id} was issued twice`);
            all.add(id);
            issued += 1;
          } catch (error) {
            if (!(error instanceof SnowflakeRefused)) throw error;
          }
        }
      }
    }),
    { seed: SEED, numRuns: 1_000 },
  );
  expect(claims).toBeGreaterThan(1_000);
  expect(issued).toBeGreaterThan(1_000);
});
