import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { LuaBench, T0 } from './support/lua-bench.js';
import { type PrivateRedis, privateRedis } from './support/redis.js';

const TTL = 5_000;
const LEASE = 1_000;
let redis: PrivateRedis;
let bench: LuaBench;

beforeAll(async () => {
  redis = await privateRedis();
  bench = new LuaBench('bal:{1}:2', redis.url);
});
beforeEach(() => bench.clear());
afterAll(async () => {
  bench.close();
  await redis.stop();
});

const read = (id: string, nowMs = T0, earlyMs = 0) => bench.run('read', [id, TTL, LEASE, earlyMs], nowMs);
const fill = (id: string, version: string, nowMs = T0) => bench.run('fill', [id, version, `v${version}`, TTL], nowMs);
const fence = (token: string, nowMs = T0) => bench.run('fence', [token], nowMs);
const publish = (token: string, version: string, nowMs = T0) =>
  bench.run('publish', [token, version, `v${version}`, TTL], nowMs);
const invalidate = (version: string, nowMs = T0) => bench.run('invalidate', [version, TTL], nowMs);
const filled = async (version: string) => {
  await read('seed');
  await fill('seed', version);
};

describe('read', () => {
  test('an absent account grants the lease, and the key lives one TTL', async () => {
    expect(await read('a')).toEqual(['GRANTED', '']);
    expect(await bench.state()).toEqual({ fields: { lease: `a ${T0}` }, expiresAt: T0 + TTL });
  });

  test('a second reader is told that another one fills', async () => {
    await read('a');
    expect(await read('b')).toEqual(['BUSY', '']);
  });

  test('a lease that is too old is taken over and keeps its floor', async () => {
    await read('a');
    await invalidate('7');
    expect(await read('b', T0 + LEASE)).toEqual(['GRANTED', '7']);
    expect(await fill('a', '8', T0 + LEASE)).toBe(0);
    expect(await fill('b', '8', T0 + LEASE)).toBe(1);
  });

  test('a value is served until its deadline and not at it', async () => {
    await filled('3');
    expect(await read('b', T0 + TTL - 1)).toEqual(['HIT', '3', 'v3']);
    expect(await read('b', T0 + TTL)).toEqual(['GRANTED', '']);
  });

  test('a draw that reaches the deadline serves the value and takes the lease', async () => {
    await filled('3');
    expect(await read('b', T0, TTL)).toEqual(['REFRESH', '3', 'v3']);
    expect(await read('c', T0, TTL)).toEqual(['HIT', '3', 'v3']);
    expect(await fill('b', '4')).toBe(1);
    expect(await read('c')).toEqual(['HIT', '4', 'v4']);
  });

  test('a fenced account is read from the database and names its oldest fence', async () => {
    await filled('3');
    await fence('100', T0 + 5);
    await fence('99', T0 + 7);
    expect(await read('b', T0 + 25)).toEqual(['DATABASE', '3', '100', '20']);
    expect((await bench.state()).fields).not.toHaveProperty('lease');
  });
});

describe('fence, publish and unfence', () => {
  test('a fenced key has no TTL, so that it cannot be evicted', async () => {
    await filled('3');
    await fence('1');
    expect((await bench.state()).expiresAt).toBeUndefined();
  });

  test('a published value dies one TTL after its fence', async () => {
    await fence('1');
    expect(await publish('1', '4', T0 + 2_000)).toBe(1);
    expect(await bench.state()).toEqual({
      fields: { ver: '4', val: 'v4', die: String(T0 + TTL) },
      expiresAt: T0 + TTL,
    });
  });

  test('a publish later than one TTL after its fence installs nothing', async () => {
    await fence('1');
    expect(await publish('1', '4', T0 + TTL)).toBe(0);
    expect((await bench.state()).fields).toEqual({});
  });

  test('a publish whose token was swept installs nothing and drops what is older', async () => {
    await filled('3');
    expect(await publish('1', '4')).toBe(0);
    expect((await bench.state()).fields).toEqual({});
  });

  test('a publish below the floor installs nothing: the hole of the first design', async () => {
    await fence('1');
    await fence('2');
    await bench.run('swept', ['2', '2', TTL]);
    expect(await publish('1', '1')).toBe(0);
    expect((await bench.state()).fields).toEqual({});
  });

  test('a publish delivered twice changes nothing the second time', async () => {
    await fence('1');
    await publish('1', '4');
    const once = await bench.state();
    expect(await publish('1', '4')).toBe(0);
    expect(await bench.state()).toEqual(once);
  });

  test('the last fence that goes drops a value that has died meanwhile', async () => {
    await filled('3');
    await fence('1');
    await bench.run('unfence', ['1', TTL], T0 + TTL);
    expect(await bench.state()).toEqual({ fields: {}, expiresAt: undefined });
  });

  test('unfencing keeps the deadline that the value had', async () => {
    await filled('3');
    await fence('1', T0 + 1_000);
    await bench.run('unfence', ['1', TTL], T0 + 2_000);
    expect(await bench.state()).toMatchObject({ fields: { ver: '3' }, expiresAt: T0 + TTL });
  });
});

describe('invalidate', () => {
  test('drops an older value and spares the same and a newer one', async () => {
    await filled('9');
    await invalidate('8');
    await invalidate('9');
    expect(await read('b')).toEqual(['HIT', '9', 'v9']);
    await invalidate('10');
    expect(await bench.state()).toEqual({ fields: {}, expiresAt: undefined });
  });

  test('leaves the floor while a lease is out, and the fill below it is refused', async () => {
    await read('a');
    await invalidate('2');
    expect(await fill('a', '1')).toBe(0);
    expect((await bench.state()).fields).toEqual({});
  });

  test('versions beyond what a Lua number can hold are told apart', async () => {
    await filled('9223372036854775806');
    await invalidate('9223372036854775806');
    expect(await read('b')).toEqual(['HIT', '9223372036854775806', 'v9223372036854775806']);
    await invalidate('9223372036854775807');
    expect((await bench.state()).fields).toEqual({});
  });
});

describe('fill', () => {
  test('without its own lease installs nothing and drops what is older', async () => {
    await filled('3');
    expect(await fill('x', '4')).toBe(0);
    expect((await bench.state()).fields).toEqual({});
  });

  test('on a fenced account installs nothing and gives its lease back', async () => {
    await read('a');
    await fence('1');
    expect(await fill('a', '1')).toBe(0);
    expect((await bench.state()).fields).toEqual({ 'f:1': String(T0), ver: '1' });
  });

  test('counts its deadline from the grant, and comes too late after it', async () => {
    await read('a');
    expect(await fill('a', '1', T0 + TTL)).toBe(0);
    await read('b');
    expect(await fill('b', '1', T0 + 3_000)).toBe(1);
    expect((await bench.state()).expiresAt).toBe(T0 + TTL);
  });
});

describe('memory', () => {
  test('only the fence is refused when Redis has none left; every other script runs', async () => {
    await filled('3');
    await fence('1');
    await bench.redis.config('SET', 'maxmemory', '1');
    try {
      await expect(fence('2')).rejects.toThrow(/OOM/);
      expect(await read('b')).toEqual(['DATABASE', '3', '1', '0']);
      expect(await publish('1', '4')).toBe(1);
      await expect(invalidate('5')).resolves.toBe(1);
      expect(await read('b')).toEqual(['GRANTED', '']);
      await fill('b', '5');
      await expect(bench.run('unfence', ['9', TTL])).resolves.toBe(1);
      await expect(bench.run('swept', ['9', '6', TTL])).resolves.toBe(1);
    } finally {
      await bench.redis.config('SET', 'maxmemory', '128mb');
    }
  });
});
