import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { Deadline } from '#platform/deadline.js';
import { Database } from '#platform/postgres.js';
import { generateApiKey, sha256 } from '#tenancy/api-key.js';
import { Authenticator } from '#tenancy/authenticator.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { TestLedger } from './support/ledger.js';
import { peerAt, strangersOf } from './support/strangers.js';

const CACHE_MS = 1_000;
const NOBODY = peerAt('192.0.2.1');

let on: TestDatabase;
let ledger: TestLedger;
let database: Database;
let merchantId: bigint;
let key: string;
beforeAll(async () => {
  on = await freshDatabase();
  ledger = await TestLedger.open(on);
  database = new Database(on.runtimeUrl, { poolSize: 2, connectTimeoutMs: 20_000, applicationName: 'test' });
  merchantId = await ledger.createMerchant();
});
beforeEach(async () => {
  key = generateApiKey(merchantId);
  await asAdmin(on.ownerUrl, (admin) =>
    admin.query(
      `INSERT INTO api_keys (merchant_id, id, secret_sha256, hint, created_at) VALUES ($1, $2, $3, '', snowflake_time($2))`,
      [merchantId, ledger.ids.next(), sha256(key)],
    ),
  );
});
afterEach(() => {
  vi.restoreAllMocks();
});
afterAll(async () => {
  await database.close();
  await ledger.close();
  await on.drop();
});

const open = (): Authenticator =>
  new Authenticator({ database, strangers: strangersOf() }, { operatorKeys: [], cacheMs: CACHE_MS });
const soon = (): Deadline => Deadline.after(20_000);
const CALLER = () => ({ kind: 'merchant', merchantId });

async function revoke(): Promise<void> {
  await asAdmin(on.ownerUrl, (admin) =>
    admin.query('UPDATE api_keys SET revoked_at = now() WHERE secret_sha256 = $1', [sha256(key)]),
  );
}

/** Look-ups wait in PostgreSQL until `work` has ended: what bounds them there are their own deadlines. */
function whileNobodyReadsKeys<T>(work: () => Promise<T>): Promise<T> {
  return asAdmin(on.ownerUrl, async (admin) => {
    await admin.query('BEGIN; LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE');
    try {
      return await work();
    } finally {
      await admin.query('ROLLBACK');
    }
  });
}

/** Holds the answer of the next look-up back until it is released, once PostgreSQL has given it. */
function holdAnswer(): { given: Promise<void>; release: () => void } {
  const given = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const read = database.read.bind(database);
  vi.spyOn(database, 'read').mockImplementationOnce((async (...args: Parameters<typeof read>) => {
    const rows = await read(...args);
    given.resolve();
    await gate.promise;
    return rows;
  }) as never);
  return { given: given.promise, release: gate.resolve };
}

describe('look-ups of one key that meet', () => {
  test('ask once, and the deadline of whoever came first binds nobody else', async () => {
    const authenticator = open();
    const asked = vi.spyOn(database, 'read');
    const { patient } = await whileNobodyReadsKeys(async () => {
      const hasty = authenticator.authenticate(key, Deadline.after(20), NOBODY);
      const patient = authenticator.authenticate(key, soon(), NOBODY);
      await expect(hasty).rejects.toMatchObject({ code: 'deadline_exceeded' });
      return { patient };
    });
    expect(await patient).toEqual(CALLER());
    expect(asked).toHaveBeenCalledTimes(1);
    expect(authenticator.authenticate(key, soon(), NOBODY)).toEqual(CALLER());
  });
});

describe('a key that is revoked while it is looked up', () => {
  test.each([
    ['is known', CACHE_MS - 1, true],
    ['is refused', CACHE_MS + 1, false],
  ])('%s %i ms after the look-up began, however long that took', async (_, afterMs, isKnown) => {
    let passedMs = 0;
    const now = performance.now.bind(performance);
    vi.spyOn(performance, 'now').mockImplementation(() => beganMs + passedMs);
    const beganMs = now();
    const authenticator = open();
    const held = holdAnswer();
    const first = authenticator.authenticate(key, soon(), NOBODY);
    await held.given;
    await revoke();
    passedMs = CACHE_MS - 100;
    held.release();
    expect(await first).toEqual(CALLER());
    passedMs = afterMs;
    expect(await authenticator.authenticate(key, soon(), NOBODY)).toEqual(isKnown ? CALLER() : undefined);
  });
});
