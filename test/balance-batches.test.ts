import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { CacheClient, type ScriptCall, type ScriptReply } from '#balances/cache-client.js';
import { cacheKey } from '#balances/cached-balance.js';
import { CacheFences } from '#balances/fences.js';
import { PendingInvalidations } from '#balances/pending-invalidations.js';
import { systemClock } from '#kernel/clock.js';
import { EMPTY_BALANCE } from '#ledger/accounts/account.js';
import { SEED } from './support/seed.js';
import { slowClock } from './support/slow-clock.js';

/** Long enough that nothing expires meanwhile. */
const TTL_MS = 600_000;
const ACCOUNTS = 3;

let client: CacheClient;
let redis: Redis;
let merchant = 7_000_000n;

beforeAll(async () => {
  client = new CacheClient({ url: inject('redisUrl'), timeoutMs: 10_000 });
  redis = new Redis(inject('redisUrl'));
  await client.ready();
});
afterAll(async () => {
  await client.close();
  redis.disconnect();
});

/** A call but for its account. Tokens, leases and versions from small sets, so that they meet. */
const CALL = fc.oneof(
  fc.record({ script: fc.constant('fence' as const), args: fc.tuple(fc.integer({ min: 1, max: 3 })) }),
  fc.record({
    script: fc.constant('unfence' as const),
    args: fc.tuple(fc.integer({ min: 1, max: 3 }), fc.constant(TTL_MS)),
  }),
  fc.record({
    script: fc.constant('publish' as const),
    args: fc.tuple(
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 12 }),
      fc.constant('value'),
      fc.constant(TTL_MS),
    ),
  }),
  fc.record({
    script: fc.constant('invalidate' as const),
    args: fc.tuple(fc.integer({ min: 1, max: 12 }), fc.constant(TTL_MS)),
  }),
  fc.record({
    script: fc.constant('read' as const),
    args: fc.tuple(fc.integer({ min: 1, max: 3 }), fc.constant(TTL_MS), fc.constant(60_000), fc.constant(0)),
  }),
  fc.record({
    script: fc.constant('fill' as const),
    args: fc.tuple(
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 12 }),
      fc.constant('value'),
      fc.constant(TTL_MS),
    ),
  }),
);
/** Each step asks one script of every account, each with arguments of its own. */
const STEPS = fc.array(
  fc.tuple(
    fc.constantFrom('fence', 'unfence', 'publish', 'invalidate', 'read', 'fill'),
    fc.array(CALL, { minLength: 40, maxLength: 40 }),
  ),
  {
    minLength: 1,
    maxLength: 12,
  },
);

test('many accounts in one call are treated as one call for each', async () => {
  await fc.assert(
    fc.asyncProperty(STEPS, async (steps) => {
      merchant += 2n;
      const together: unknown[] = [];
      const apart: unknown[] = [];
      for (const [script, drawn] of steps) {
        const args = drawn
          .filter((call) => call.script === script)
          .slice(0, ACCOUNTS)
          .map((call) => call.args);
        const calls = (merchantId: bigint): ScriptCall[] =>
          args.map(
            (own, n) => ({ script, account: { merchantId, accountId: BigInt(n % ACCOUNTS) }, args: own }) as ScriptCall,
          );
        together.push((await client.run(calls(merchant))).map(timeless));
        for (const call of calls(merchant + 1n)) apart.push(...(await client.run([call])).map(timeless));
      }
      expect(together.flat()).toEqual(apart);
      for (let account = 0n; account < ACCOUNTS; account += 1n) {
        const [one, other] = await Promise.all(
          [merchant, merchant + 1n].map((merchantId) => redis.hgetall(cacheKey({ merchantId, accountId: account }))),
        );
        expect(withoutTimes(one)).toEqual(withoutTimes(other));
      }
    }),
    { seed: SEED, numRuns: 60 },
  );
});

/** Long enough for several pieces. */
const MANY = 10_000;

function manyAccounts() {
  merchant += 2n;
  return Array.from({ length: MANY }, (_, index) => ({ merchantId: merchant, accountId: BigInt(index) }));
}

/** How many of them had been looked at when somebody else had a turn of the event loop, for the first time. */
async function lookedAtByFirstTurn<T extends object, R>(items: T[], work: (items: T[]) => Promise<R>) {
  const looked = new Set<T>();
  const watched = items.map(
    (item) => new Proxy(item, { get: (_, name) => looked.add(item) && Reflect.get(item, name) }),
  );
  const firstTurn = nextTurn().then(() => looked.size);
  const result = await work(watched);
  return { result, byFirstTurn: await firstTurn };
}

test('a call for many accounts gives others their turn, and answers in its order', async () => {
  const accounts = manyAccounts();
  const callsOf = (script: ScriptCall['script'], args: (n: number) => ScriptCall['args']) =>
    accounts.map((account, n): ScriptCall => ({ script, account, args: args(n) }));
  await client.run(callsOf('fence', () => [1]));
  await client.run(callsOf('publish', (n) => [1, n + 1, `value-${n}`, TTL_MS]));
  const calls = callsOf('read', () => ['lease', TTL_MS, 60_000, 0]);
  const { result, byFirstTurn } = await lookedAtByFirstTurn(calls, (watched) => client.run(watched));
  expect(byFirstTurn).toBeLessThanOrEqual(MANY / 5);
  expect(result).toEqual(accounts.map((_, n) => ['HIT', String(n + 1), `value-${n}`]));
});

test('a group of many accounts is fenced and published with others’ turns between', async () => {
  const pending = new PendingInvalidations(client, { ttlMs: TTL_MS, policy: 'available', clock: systemClock });
  const fences = new CacheFences(client, pending, { ttlMs: TTL_MS });
  const accounts = manyAccounts();
  const values = accounts.map((account) => ({ ...account, balance: { ...EMPTY_BALANCE, version: 1n } }));
  // A turn is ended by the clock: on a quick machine it would have room for thousands.
  const clock = slowClock(0.01);
  try {
    const fenced = await lookedAtByFirstTurn(accounts, (watched) => fences.fence(watched, 1n, 10_000));
    expect(fenced.byFirstTurn).toBeLessThanOrEqual(MANY / 5);
    const published = await lookedAtByFirstTurn(values, (watched) => fenced.result.publish(watched));
    expect(published.byFirstTurn).toBeLessThanOrEqual(MANY / 5);
  } finally {
    clock.restore();
  }
  expect(fences.counts).toMatchObject({ unfenced: 0, installed: MANY, refused: 0, unconfirmed: 0 });
  pending.close();
});

/** The age of a fence is a matter of milliseconds. */
function timeless(reply: ScriptReply | Error): unknown {
  return Array.isArray(reply) && reply[0] === 'DATABASE' ? reply.slice(0, 2) : reply;
}

function withoutTimes(hash: Record<string, string> | undefined): Record<string, string> {
  return Object.fromEntries(
    Object.entries(hash ?? {}).map(([field, value]) => {
      if (field === 'die' || field.startsWith('f:')) return [field, ''];
      return [field, field === 'lease' ? (value.split(' ')[0] ?? '') : value];
    }),
  );
}
