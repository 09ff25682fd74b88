import { afterAll, beforeAll, expect, test } from 'vitest';
import { Deadline } from '#platform/deadline.js';
import type { Entities } from '#platform/entities.js';
import { Database, isUniqueViolation } from '#platform/postgres.js';
import { ApiKey, Merchant, newApiKey } from '#tenancy/merchant.entity.js';
import { OPERATOR_KEY, TestApi } from './support/api.js';
import { callAt } from './support/bare-api.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { entitiesOn } from './support/entities.js';
import { TestLedger } from './support/ledger.js';

let on: TestDatabase;
let database: Database;
let entities: Entities;
let ours: bigint;
let theirs: bigint;

beforeAll(async () => {
  on = await freshDatabase();
  const ledger = await TestLedger.open(on);
  [ours, theirs] = [await ledger.createMerchant(), await ledger.createMerchant()];
  await ledger.close();
  // One connection: whoever needs a second one waits for ever.
  database = new Database(on.runtimeUrl, { poolSize: 1, connectTimeoutMs: 2_000, applicationName: 'test' });
  entities = await entitiesOn(database);
});
afterAll(async () => {
  await database.close();
  await on.drop();
});

const scope = () => ({ merchantIds: [ours] });
const soon = () => Deadline.after(10_000);
const key = (id: bigint, merchantId = ours) => newApiKey(merchantId, id, `secret ${id}`);

test('entities are read and written in the transaction that is open, on its connection', async () => {
  await database.transaction(scope(), soon(), async (client) => {
    const manager = entities.in(client);
    await manager.insert(ApiKey, key(1n));
    const { rows } = await client.query<{ id: bigint }>({ text: 'SELECT id FROM api_keys' });
    expect(rows).toEqual([{ id: 1n }]);
    await client.query({ text: `UPDATE api_keys SET revoked_at = to_timestamp(5)` });
    const { secretSha256: _, ...shown } = key(1n);
    expect(await manager.find(ApiKey)).toEqual([{ ...shown, revokedAtMs: 5_000 }]);
  });
});

test('what is rolled back takes the entities with it', async () => {
  const failed = database.transaction(scope(), soon(), async (client) => {
    await entities.in(client).insert(ApiKey, key(2n));
    throw new Error('later');
  });
  await expect(failed).rejects.toThrow('later');
  const ids = await database.read(scope(), soon(), { text: 'SELECT id FROM api_keys WHERE id = 2' });
  expect(ids).toEqual([]);
});

test('row-level security holds entities to the scope', async () => {
  await database.transaction(scope(), soon(), async (client) => {
    expect(await entities.in(client).existsBy(Merchant, { id: ours })).toBe(true);
    expect(await entities.in(client).existsBy(Merchant, { id: theirs })).toBe(false);
  });
  const foreign = database.transaction(scope(), soon(), (client) =>
    entities.in(client).insert(ApiKey, key(3n, theirs)),
  );
  await expect(foreign).rejects.toMatchObject({ code: '42501' });
});

test('what PostgreSQL refuses comes as its own error, and the connection is kept', async () => {
  const pid = async () => (await database.read('platform', soon(), { text: 'SELECT pg_backend_pid()' }))[0];
  const before = await pid();
  const twice = database.transaction(scope(), soon(), async (client) => {
    await entities.in(client).insert(ApiKey, key(4n));
    await entities.in(client).insert(ApiKey, key(4n));
  });
  await expect(twice).rejects.toSatisfy((error) => isUniqueViolation(error, 'api_keys_pkey'));
  expect(await pid()).toEqual(before);
});

test('entities that take longer than the deadline are told so', async () => {
  await asAdmin(on.ownerUrl, async (admin) => {
    await admin.query('BEGIN; LOCK TABLE merchants IN ACCESS EXCLUSIVE MODE');
    const late = database.transaction(scope(), Deadline.after(300), (client) => entities.in(client).find(Merchant));
    await expect(late).rejects.toMatchObject({ code: 'deadline_exceeded' });
    await admin.query('ROLLBACK');
  });
});

test('a process has one pool: entities open no connection beside it', async () => {
  const api = await TestApi.start({ on, config: { databasePoolSize: 2 } });
  try {
    const list = () => callAt(api.url, 'GET', '/v1/merchants', { key: OPERATOR_KEY });
    const statuses = (await Promise.all(Array.from({ length: 20 }, list))).map(({ status }) => status);
    expect(new Set(statuses)).toEqual(new Set([200]));
    const text = `SELECT application_name FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'counterfoil%'`;
    const rows = await asAdmin(on.ownerUrl, async (admin) => (await admin.query(text)).rows);
    expect(rows.filter(({ application_name }) => application_name !== 'counterfoil-api')).toEqual([]);
    expect(rows.length).toBeGreaterThan(0);
    expect(rows.length).toBeLessThanOrEqual(2);
  } finally {
    await api.stop();
  }
});
