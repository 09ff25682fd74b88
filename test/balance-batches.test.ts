import fc from 'fast-check';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { CacheClient, type ScriptCall, type ScriptReply } from '#balances/cache-client.js';
import { cacheKey } from '#balances/cached-balance.js';
import { SEED } from './support/seed.js';

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
