import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { OperatorIdentities1764920200000 } from '#db/migrations/1764920200000-operator-identities.js';
import { Deadline } from '#platform/deadline.js';
import { Database } from '#platform/postgres.js';
import { generateOperatorKey, sha256 } from '#tenancy/api-key.js';
import { Authenticator } from '#tenancy/authenticator.js';
import { type Answer, type Json, OPERATOR_KEY, TestApi, until } from './support/api.js';
import { Contract } from './support/contract.js';
import { asAdmin, freshDatabase } from './support/database.js';
import { peerAt, strangersOf } from './support/strangers.js';

let api: TestApi;
beforeAll(async () => {
  api = await TestApi.start();
  await Contract.hold(api);
});
afterEach(() => {
  vi.restoreAllMocks();
  expect(api.errors).toEqual([]);
});
afterAll(() => api.stop());

const issue = (name: string, as = api.operator, key?: string): Promise<Answer> =>
  as.post('/v1/operator_keys', { body: { name }, ...(key && { key }) });
const revoke = (id: string, as = api.operator): Promise<Answer> => as.request('DELETE', `/v1/operator_keys/${id}`);
const status = async (secret: string, of = api): Promise<number> =>
  (await of.withKey(secret).get('/v1/operator_keys')).status;

/** Of the `count` newest keys and the environment’s. */
async function listed(count: number): Promise<Json[]> {
  return (await api.operator.get(`/v1/operator_keys?limit=${count + 1}`)).body.data;
}

describe('a key that was issued', () => {
  test('opens the platform’s routes, acts for merchants, and is stored as its digest', async () => {
    const { status: told, body } = await issue('ada');
    expect(told).toBe(201);
    expect(body).toMatchObject({ name: 'ada', created_by: 'environment', responsible: 'ada', revoked_at: null });
    expect(body.secret).toMatch(/^cfo_[0-9A-Za-z]{49}$/);
    const merchant = await api.merchant();
    const headers = { authorization: `Bearer ${body.secret}`, 'counterfoil-merchant': merchant.id };
    expect((await api.client(headers).get('/v1/accounts')).status).toBe(200);
    expect((await api.withKey(body.secret).get('/v1/merchants')).status).toBe(200);
    const rows = await asAdmin(api.on.ownerUrl, (owner) =>
      owner.query('SELECT secret_sha256, k::text AS row FROM operator_keys k WHERE id = $1', [body.id]),
    );
    expect(rows.rows[0].secret_sha256).toEqual(sha256(body.secret));
    expect(rows.rows[0].row).not.toContain(body.secret);
  });

  test('is shown once: a replay has no secret, and neither has the list', async () => {
    const first = await issue('replayed', api.operator, 'issue-1');
    const again = await issue('replayed', api.operator, 'issue-1');
    expect(first.body.secret).not.toBeNull();
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    expect(again.body).toEqual({ ...first.body, secret: null });
    const { secret: _, ...shown } = first.body;
    expect((await listed(1))[1]).toEqual(shown);
  });

  test('names one operator: a second valid key of the name is refused, one after a revocation is not', async () => {
    const first = (await issue('grace')).body;
    const refused = await issue('grace');
    expect([refused.status, refused.body.code, refused.body.errors[0].path]).toEqual([
      422,
      'validation_failed',
      'name',
    ]);
    expect((await revoke(first.id)).status).toBe(204);
    const second = (await issue('grace')).body;
    expect([await status(first.secret), await status(second.secret)]).toEqual([401, 200]);
  });

  test.each([
    ['Ann Lee', 'ann lee'],
    ['Ann Lea', 'ANN  LEA'],
    ['Zoë', 'zoe\u0308'],
    ['Eve', 'E\u200bve'],
    ['Environment', 'environment'],
  ])('has the name %s, and then no other has %s', async (one, other) => {
    const { body } = await issue(one);
    const refused = await issue(other);
    expect([refused.status, refused.body.code, refused.body.errors[0].path]).toEqual([
      422,
      'validation_failed',
      'name',
    ]);
    if (body.id === undefined) return;
    expect(body.name).toBe(one);
    await revoke(body.id);
    expect((await issue(other)).status).toBe(201);
  });

  test('is its issuer’s, and of whoever answers for that one', async () => {
    const boss = (await issue('boss')).body;
    const one = (await issue('deputy', api.withKey(boss.secret))).body;
    const two = (await issue('trainee', api.withKey(one.secret))).body;
    expect([one.created_by, one.responsible]).toEqual(['boss', 'boss']);
    expect([two.created_by, two.responsible]).toEqual(['deputy', 'boss']);
  });

  test.each(['environment', 'ENVIRONMENT', '', '\u200b', ' ada', 'ada ', 'a\nb', 'x'.repeat(256), 7, null, undefined])(
    'cannot have the name %j',
    async (name) => {
      const { status: told, body } = await issue(name as string);
      expect([told, body.code, body.errors[0].path]).toEqual([422, 'validation_failed', 'name']);
    },
  );
});

describe('the list', () => {
  test('begins with the environment, then has the newest first, page by page', async () => {
    const [one, two] = [(await issue('older')).body, (await issue('newer')).body];
    const seen: Json[] = [];
    let cursor = '';
    while (seen.length < 3) {
      const { body } = await api.operator.get(`/v1/operator_keys?limit=1${cursor}`);
      seen.push(...body.data);
      cursor = `&cursor=${body.next_cursor}`;
    }
    expect(seen.map(({ id, name }) => [id, name])).toEqual([
      [null, 'environment'],
      [two.id, 'newer'],
      [one.id, 'older'],
    ]);
  });
});

describe('revocation', () => {
  test('is effective at once here, and soon in every other process', async () => {
    const other = await TestApi.start({ on: api.on, environment: { API_KEY_CACHE_MS: '400' } });
    try {
      const { id, secret } = (await issue('leaver')).body;
      expect([await status(secret), await status(secret, other)]).toEqual([200, 200]);
      expect((await revoke(id)).status).toBe(204);
      expect((await revoke(id)).status).toBe(204);
      expect(await status(secret)).toBe(401);
      await until(async () => (await status(secret, other)) === 401, 5_000);
      expect((await listed(1))[1]).toMatchObject({ id, revoked_by: 'environment' });
      expect(await status(OPERATOR_KEY)).toBe(200);
    } finally {
      await other.stop();
    }
  });

  test('of itself is one that a key may do', async () => {
    const { id, secret } = (await issue('tired')).body;
    expect((await revoke(id, api.withKey(secret))).status).toBe(204);
    expect(await status(secret)).toBe(401);
    expect((await listed(1))[1]).toMatchObject({ id, revoked_by: 'tired' });
  });

  test('a process that still trusts a revoked key has it neither issue another one nor revoke one', async () => {
    const other = await TestApi.start({ on: api.on, environment: { API_KEY_CACHE_MS: '5000' } });
    try {
      const [thief, victim] = [(await issue('thief')).body, (await issue('victim')).body];
      expect(await status(thief.secret, other)).toBe(200);
      await revoke(thief.id);
      const as = other.withKey(thief.secret);
      for (const answer of [await issue('accomplice', as), await revoke(victim.id, as), await revoke(thief.id, as)]) {
        expect([answer.status, answer.body.code]).toEqual([401, 'unauthorized']);
      }
      expect((await listed(1))[1]).toMatchObject({ name: 'victim', revoked_at: null });
    } finally {
      await other.stop();
    }
  });

  test.each(['environment', '1', 'x', '0'])('finds no key under %j', async (id) => {
    expect((await revoke(id)).status).toBe(404);
  });
});

describe('asking for operators’ keys', () => {
  const soon = (): Deadline => Deadline.after(20_000);

  async function withDatabase(work: (authenticator: Authenticator, asked: () => number) => Promise<void>) {
    const database = new Database(api.on.runtimeUrl, {
      poolSize: 2,
      connectTimeoutMs: 20_000,
      applicationName: 'test',
    });
    const read = vi.spyOn(database, 'read');
    try {
      await work(
        new Authenticator({ database, strangers: strangersOf() }, { operatorKeys: [OPERATOR_KEY], cacheMs: 5_000 }),
        () => read.mock.calls.length,
      );
    } finally {
      await database.close();
    }
  }

  test('the environment’s is known without a query, and so is one that cannot be a key', () =>
    withDatabase(async (authenticator, asked) => {
      expect(authenticator.authenticate(OPERATOR_KEY, soon(), peerAt('192.0.2.1'))).toMatchObject({
        operator: { name: 'environment' },
      });
      const key = generateOperatorKey();
      for (const no of [`cfo_${'1'.repeat(49)}`, `cfo_${'1'.repeat(40)}`, key.slice(0, -1), `${key}0`, 'cfo_']) {
        expect(authenticator.authenticate(no, soon(), peerAt('192.0.2.1'))).toBeUndefined();
      }
      expect(asked()).toBe(0);
    }));

  test('one that is valid, and one that is not, each cost one query, however many ask', () =>
    withDatabase(async (authenticator, asked) => {
      const { id, secret } = (await issue('popular')).body;
      const unknown = generateOperatorKey();
      const ask = () =>
        Promise.all(
          [1, 2, 3].flatMap(() =>
            [secret, unknown].map((key) => authenticator.authenticate(key, soon(), peerAt('192.0.2.1'))),
          ),
        );
      const caller = { kind: 'operator', operator: { keyId: BigInt(id), name: 'popular', responsible: 'popular' } };
      for (const _ of [1, 2]) expect(await ask()).toEqual([1, 2, 3].flatMap(() => [caller, undefined]));
      expect(asked()).toBe(2);
    }));
});

test('two valid keys whose names have become one both stay as the database is migrated, and no third is issued', async () => {
  const on = await freshDatabase();
  await asAdmin(on.ownerUrl, async (owner) => {
    const runner = { query: async (sql: string, values?: unknown[]) => (await owner.query(sql, values)).rows };
    const migration = new OperatorIdentities1764920200000();
    await migration.down(runner as never);
    for (const [id, name] of ['Ann', 'ann', 'ANN', 'Bob'].entries()) {
      await owner.query(
        `INSERT INTO operator_keys (id, created_at, name, secret_sha256, created_by, responsible, revoked_at, revoked_by)
         VALUES ($1, snowflake_time($1), $2::text, sha256($2::text::bytea), 'environment', $2::text, CASE $2::text WHEN 'ANN' THEN now() END, CASE $2::text WHEN 'ANN' THEN 'x' END)`,
        [id + 1, name],
      );
    }
    await migration.up(runner as never);
    const { rows } = await owner.query('SELECT name, identity FROM operator_keys ORDER BY id');
    expect(rows.map(({ name, identity }) => [name, identity])).toEqual([
      ['Ann', 'ann'],
      ['ann', null],
      ['ANN', 'ann'],
      ['Bob', 'bob'],
    ]);
  });
  const upgraded = await TestApi.start({ on });
  try {
    expect([(await issue('aNN', upgraded.operator)).status, (await issue('bob', upgraded.operator)).status]).toEqual([
      422, 422,
    ]);
  } finally {
    await upgraded.stop();
    await on.drop();
  }
});
