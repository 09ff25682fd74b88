import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ConfigError, configurationTable } from '#platform/config.js';
import { readConfig, SETTINGS } from './config.js';

const DATABASE_URL = 'postgresql://owner:secret@127.0.0.1:5432/counterfoil';

/** Each check of the rooms: what fails it, and what must be said otherwise. */
const CONTRADICTIONS: { given: NodeJS.ProcessEnv; right: NodeJS.ProcessEnv; said: string }[] = [
  {
    given: { BANK_URL: 'https://bank.example' },
    right: { BANK_SECRET: `whsec_${'A'.repeat(32)}` },
    said: 'BANK_SECRET must be given where there is a BANK_URL',
  },
  {
    given: { AUTH_FAILURES_PER_SECOND: '201' },
    right: { AUTH_FAILURES_IN_ALL_PER_SECOND: '201' },
    said: 'AUTH_FAILURES_PER_SECOND must not be more than AUTH_FAILURES_IN_ALL_PER_SECOND',
  },
  {
    given: { AUTH_LOOKUPS_WAITING: '1001' },
    right: { AUTH_LOOKUPS_WAITING_IN_ALL: '1001' },
    said: 'AUTH_LOOKUPS_WAITING must not be more than AUTH_LOOKUPS_WAITING_IN_ALL',
  },
  {
    given: { BALANCE_SWEEP_AFTER_MS: '6000', WRITER_GROUP_TIMEOUT_MS: '6000' },
    right: { BALANCE_SWEEP_AFTER_MS: '6001' },
    said: 'BALANCE_SWEEP_AFTER_MS must be more than WRITER_GROUP_TIMEOUT_MS',
  },
  {
    given: { WRITER_GROUP_TIMEOUT_MS: '1000' },
    right: { WRITER_GROUP_TIMEOUT_MS: '1001' },
    said: 'WRITER_GROUP_TIMEOUT_MS must be more than WRITER_APART_LOCK_WAIT_MS',
  },
  {
    given: { WRITER_LOCK_WAIT_MS: '1000' },
    right: { WRITER_LOCK_WAIT_MS: '999' },
    said: 'WRITER_APART_LOCK_WAIT_MS must be more than WRITER_LOCK_WAIT_MS',
  },
  {
    given: { BODY_TIMEOUT_MS: '9999' },
    right: { BODY_TIMEOUT_MS: '10000' },
    said: 'HEADERS_TIMEOUT_MS must not be more than BODY_TIMEOUT_MS',
  },
  {
    given: { RECONCILIATION_STALL_MS: '2001', RECONCILIATION_RECEIVE_MS: '2000' },
    right: { RECONCILIATION_STALL_MS: '2000' },
    said: 'RECONCILIATION_STALL_MS must not be more than RECONCILIATION_RECEIVE_MS',
  },
  {
    given: { RECONCILIATION_MERCHANT_UPLOADS: '5' },
    right: { RECONCILIATION_UPLOADS: '5' },
    said: 'RECONCILIATION_MERCHANT_UPLOADS must not be more than RECONCILIATION_UPLOADS',
  },
  {
    given: { SHUTDOWN_DELAY_MS: '201', SHUTDOWN_GRACE_MS: '200' },
    right: { SHUTDOWN_DELAY_MS: '200' },
    said: 'SHUTDOWN_DELAY_MS must not be more than SHUTDOWN_GRACE_MS',
  },
  {
    given: { BALANCE_REDIS_TIMEOUT_MS: '500', REQUEST_DEADLINE_MS: '500' },
    right: { REQUEST_DEADLINE_MS: '501' },
    said: 'REQUEST_DEADLINE_MS must be more than BALANCE_REDIS_TIMEOUT_MS',
  },
  {
    given: { CACHE_WRITE_POLICY: 'strict', REQUEST_DEADLINE_MS: '5000' },
    right: { REQUEST_DEADLINE_MS: '5001' },
    said: 'REQUEST_DEADLINE_MS must be more than BALANCE_TTL_MS while CACHE_WRITE_POLICY is strict',
  },
  {
    given: { CACHE_WRITE_POLICY: 'strict', BALANCE_TTL_MS: '10000' },
    right: { CACHE_WRITE_POLICY: 'available' },
    said: 'REQUEST_DEADLINE_MS must be more than BALANCE_TTL_MS while CACHE_WRITE_POLICY is strict',
  },
  {
    given: { PROVIDER_APPLY_MS: '15000' },
    right: { PROVIDER_APPLY_MS: '14999' },
    said: 'PROVIDER_INBOX_RETRY_MS must be more than PROVIDER_APPLY_MS',
  },
  {
    given: { BODY_LIMIT_BYTES: '67108864', BODIES_MERCHANT_LIMIT_BYTES: '67108863' },
    right: { BODIES_MERCHANT_LIMIT_BYTES: '67108864' },
    said: 'BODY_LIMIT_BYTES must not be more than BODIES_MERCHANT_LIMIT_BYTES',
  },
  {
    given: { BATCH_BODY_LIMIT_BYTES: '67108865' },
    right: { BATCH_BODY_LIMIT_BYTES: '67108864' },
    said: 'BATCH_BODY_LIMIT_BYTES must not be more than BODIES_MERCHANT_LIMIT_BYTES',
  },
  {
    given: { BODIES_LIMIT_BYTES: '67108863' },
    right: { BODIES_LIMIT_BYTES: '67108864' },
    said: 'BODIES_MERCHANT_LIMIT_BYTES must not be more than BODIES_LIMIT_BYTES',
  },
  {
    given: { UNSENT_LIMIT_BYTES: '33554431' },
    right: { UNSENT_LIMIT_BYTES: '33554432' },
    said: 'UNSENT_MERCHANT_LIMIT_BYTES must not be more than UNSENT_LIMIT_BYTES',
  },
  {
    given: { RELAY_BUSY_MS: '251' },
    right: { RELAY_BUSY_MS: '250' },
    said: 'RELAY_BUSY_MS must not be more than RELAY_IDLE_MS',
  },
  {
    given: { RELAY_MAX_HOLD_MS: '9999' },
    right: { RELAY_MAX_HOLD_MS: '10000' },
    said: 'RELAY_MAX_HOLD_MS must be 0, or at least CONSUMER_TIMEOUT_MS',
  },
  {
    given: { RELAY_MAX_HOLD_MS: '5999', CONSUMER_TIMEOUT_MS: '100' },
    right: { RELAY_MAX_HOLD_MS: '0' },
    said: 'RELAY_MAX_HOLD_MS must be 0, or at least WRITER_GROUP_TIMEOUT_MS',
  },
  {
    given: { EVENT_FOLLOWERS: '99' },
    right: { EVENT_FOLLOWERS_PER_MERCHANT: '99' },
    said: 'EVENT_FOLLOWERS_PER_MERCHANT must not be more than EVENT_FOLLOWERS',
  },
  {
    given: { WEBHOOK_TIMEOUT_MS: '9999' },
    right: { WEBHOOK_TIMEOUT_MS: '10000' },
    said: 'WEBHOOK_HEADERS_TIMEOUT_MS must not be more than WEBHOOK_TIMEOUT_MS',
  },
  {
    given: { WEBHOOK_CONNECT_TIMEOUT_MS: '15001' },
    right: { WEBHOOK_CONNECT_TIMEOUT_MS: '15000' },
    said: 'WEBHOOK_CONNECT_TIMEOUT_MS must not be more than WEBHOOK_TIMEOUT_MS',
  },
];

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
    for (const wrong of [
      /DATABASE_URL is needed and not set\n/,
      /LOG_LEVEL must be one of fatal, error/,
      /COUNTERFOIL_OPERATOR_KEY must be `cfo_`/,
      /API_KEY_CACHE_MS must be a whole number from 0 to 5000\n/,
      /PORT must be a whole number from 0 to 65535$/,
    ]) {
      expect(read).toThrow(wrong);
    }
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
    expect(readConfig({ DATABASE_URL, WEBHOOK_REFUSED_NETWORKS: given }).webhookRefusedNetworks).toEqual(read);
  });

  it.each(CONTRADICTIONS)('holds settings against each other: $said', ({ given, right, said }) => {
    expect(() => readConfig({ DATABASE_URL, ...given })).toThrow(new RegExp(`\n  ${said}$`));
    expect(() => readConfig({ DATABASE_URL, ...given, ...right })).not.toThrow();
  });

  it('tries each check that a room declares', () => {
    const declared = SETTINGS.flatMap(({ checks = [] }) => checks).map(
      ({ of: [name], message }) => `${name} ${message}`,
    );
    expect(new Set(CONTRADICTIONS.map(({ said }) => said))).toEqual(new Set(declared));
  });

  it('holds nothing against a setting that is wrong by itself, and names the other wrong ones', () => {
    const environment = { BALANCE_SWEEP_AFTER_MS: '1000', WRITER_GROUP_TIMEOUT_MS: 'soon' };
    expect(() => readConfig({ DATABASE_URL, ...environment })).toThrow(
      /:\n {2}WRITER_GROUP_TIMEOUT_MS must be a whole.*$/,
    );
    const more = { BALANCE_SWEEP_AFTER_MS: '1000', PORT: 'x' };
    expect(() => readConfig({ DATABASE_URL, ...more })).toThrow(
      /PORT must be .*\n {2}BALANCE_SWEEP_AFTER_MS must be more than/,
    );
  });

  it('takes several operator keys for a rotation', () => {
    const [one, two] = [`cfo_${'a'.repeat(32)}`, `cfo_${'b'.repeat(32)}`];
    expect(readConfig({ DATABASE_URL, COUNTERFOIL_OPERATOR_KEY: `${one},${two}` }).counterfoilOperatorKey).toEqual([
      one,
      two,
    ]);
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
    expect(readFileSync('docs/configuration.md', 'utf8')).toBe(configurationTable(SETTINGS));
  });
});
