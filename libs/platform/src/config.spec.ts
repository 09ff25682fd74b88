import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ConfigError, configurationTable, readConfig } from './config.js';
import { runtimeUrlOf } from './runtime-role.js';

const DATABASE_URL = 'postgresql://owner:secret@127.0.0.1:5432/counterfoil';

describe('readConfig', () => {
  it('names every wrong value at once, and repeats none of them', () => {
    const read = () =>
      readConfig({
        PORT: '70000',
        LOG_LEVEL: 'loud',
        COUNTERFOIL_OPERATOR_KEY: 'cfo_hunter2',
        API_KEY_CACHE_MS: '5001',
      });
    expect(read).toThrow(ConfigError);
    expect(read).toThrow(/PORT .*\n.*DATABASE_URL is needed.*\n.*OPERATOR_KEY .*\n.*LOG_LEVEL .*\n.*API_KEY_CACHE_MS/s);
    expect(read).not.toThrow(/hunter2/);
  });

  it('takes an empty variable for an absent one', () => {
    expect(readConfig({ DATABASE_URL, PORT: '', REDIS_URL: '' })).toMatchObject({ port: 3000, redisUrl: undefined });
  });

  it('refuses to keep idempotency keys for less than a day', () => {
    expect(() => readConfig({ DATABASE_URL, IDEMPOTENCY_RETENTION_HOURS: '23' })).toThrow(/from 24 to/);
  });

  it.each(['1e3', '-1', '0x10', '10.5', ' 10', 'ten'])('refuses %j as a whole number', (PORT) => {
    expect(() => readConfig({ DATABASE_URL, PORT })).toThrow(/PORT must be a whole number/);
  });

  it.each(['10.0.0.0', '10.0.0.0/33', '::/129', 'example.com/8', '10.0.0.0/8,', '10.0.0.0/-1', '10.0.0.0/8/8'])(
    'refuses %j as networks that webhooks must not be sent to',
    (WEBHOOK_REFUSED_NETWORKS) => {
      expect(() => readConfig({ DATABASE_URL, WEBHOOK_REFUSED_NETWORKS })).toThrow(
        /WEBHOOK_REFUSED_NETWORKS must be networks/,
      );
    },
  );

  it.each([
    { given: '', read: ['168.63.129.16/32'] },
    { given: 'none', read: [] },
    { given: '192.0.2.0/24, 2001:db8::/32', read: ['192.0.2.0/24', '2001:db8::/32'] },
  ])('reads the networks $given', ({ given, read }) => {
    expect(readConfig({ DATABASE_URL, WEBHOOK_REFUSED_NETWORKS: given }).webhooks.refusedNetworks).toEqual(read);
  });

  it('takes several operator keys for a rotation', () => {
    const [one, two] = [`cfo_${'a'.repeat(32)}`, `cfo_${'b'.repeat(32)}`];
    expect(readConfig({ DATABASE_URL, COUNTERFOIL_OPERATOR_KEY: `${one},${two}` }).operatorKeys).toEqual([one, two]);
  });

  it('cannot be changed', () => {
    expect(Object.isFrozen(readConfig({ DATABASE_URL }))).toBe(true);
  });

  it('derives the same secrets in every process', () => {
    const [one, two] = [readConfig({ DATABASE_URL }), readConfig({ DATABASE_URL })];
    expect(one.cursorSecret).toBe(two.cursorSecret);
    expect(one.databaseRuntimeUrl).toBe(two.databaseRuntimeUrl);
    expect(one.databaseRuntimeUrl).toMatch(
      /^postgresql:\/\/counterfoil_runtime:[\w-]{43}@127\.0\.0\.1:5432\/counterfoil$/,
    );
  });

  it('is documented: npm run docs:config leaves no difference', () => {
    expect(readFileSync('docs/configuration.md', 'utf8')).toBe(configurationTable());
  });
});

describe('runtimeUrlOf', () => {
  it('gives all databases of a server the same password', () => {
    const passwords = ['a', 'b'].map((name) => new URL(runtimeUrlOf(`postgres://owner:secret@db/${name}`)).password);
    expect(passwords[0]).toBe(passwords[1]);
  });

  it('never hands out a password that anybody could derive', () => {
    expect(new URL(runtimeUrlOf('postgres://owner@db/x')).password).toBe('');
  });

  it('keeps the options of the URL, and serves Unix sockets', () => {
    expect(runtimeUrlOf('postgres://o:p@db/x?sslmode=require')).toMatch(/sslmode=require$/);
    expect(runtimeUrlOf('postgres:///x?host=/run/postgresql&user=o&password=p')).toMatch(
      /user=counterfoil_runtime&password=[\w-]{43}/,
    );
  });
});
