import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Deadline } from '#platform/deadline.js';
import { Database } from '#platform/postgres.js';
import { planZone } from '#tenancy/merchant-zone-store.js';
import { type Api, startApi } from '../apps/api/src/api.js';
import { readConfig } from '../apps/config.js';
import { callAt, OPERATOR_KEY, startTestApi, type TestApi } from './support/bare-api.js';
import { asAdmin } from './support/database.js';
import { until } from './support/until.js';

let test: TestApi;
/** A second process, as far as caches go. */
let other: Api;
beforeAll(async () => {
  test = await startTestApi({ API_KEY_CACHE_MS: '1000' });
  other = await startApi(
    readConfig({
      PORT: '0',
      LOG_LEVEL: 'error',
      DATABASE_URL: test.ownerUrl,
      COUNTERFOIL_OPERATOR_KEY: OPERATOR_KEY,
      API_KEY_CACHE_MS: '1000',
    }),
  );
});
afterAll(async () => {
  await other.stop();
  await test.stop();
});

const merchant = { name: 'Tokyo Tea', time_zone: 'Asia/Tokyo', settlement_cutoff: '22:30', currencies: ['JPY', 'KWD'] };

describe('merchants', () => {
  it('open with eight accounts per currency and a key that works', async () => {
    const { status, body } = await test.call('POST', '/v1/merchants', { body: merchant });
    expect(status).toBe(201);
    expect(body).toMatchObject(merchant);
    expect(body.accounts).toHaveLength(16);
    const { body: list } = await test.call('GET', '/v1/accounts', { key: body.api_key.secret });
    expect(new Set(list.data)).toEqual(new Set(body.accounts));
  });

  it('tell the event log of each of their accounts, in their transaction', async () => {
    const { id } = await test.createMerchant();
    const client = new pg.Client({ connectionString: test.ownerUrl });
    await client.connect();
    const { rows } = await client.query(`SELECT xid::text, type FROM events WHERE merchant_id = $1`, [id]);
    await client.end();
    expect(rows.map((row) => row.type)).toEqual(Array(8).fill('account.created'));
    expect(new Set(rows.map((row) => row.xid)).size).toBe(1);
  });

  it.each([
    ['name', ''],
    ['name', 'x'.repeat(256)],
    ['time_zone', 'Mars/Olympus'],
    ['time_zone', '+02:00'],
    ['settlement_cutoff', '24:00'],
    ['settlement_cutoff', '9:00'],
    ['currencies', []],
    ['currencies', ['EUR', 'EUR']],
    ['currencies', Array(21).fill('EUR')],
    ['currencies', ['XXZ']],
    ['fee_plan_id', '5'],
    ['nonsense', 1],
  ])('refuse %s %j', async (field, value) => {
    const { status, body } = await test.call('POST', '/v1/merchants', { body: { ...merchant, [field]: value } });
    expect(status).toBe(422);
    expect(body.errors[0].path.split('.')[0]).toBe(field);
  });

  it('are listed in pages, newest first, by cursors that cannot be forged', async () => {
    const ids: string[] = [];
    for (let n = 0; n < 3; n += 1) ids.unshift((await test.createMerchant()).id);
    const first = await test.call('GET', '/v1/merchants?limit=2');
    expect(first.body.data.map((one: { id: string }) => one.id)).toEqual(ids.slice(0, 2));
    expect(first.body.has_more).toBe(true);
    const second = await test.call('GET', `/v1/merchants?limit=1&cursor=${first.body.next_cursor}`);
    expect(second.body.data[0].id).toBe(ids[2]);
    const forged = await test.call(
      'GET',
      `/v1/merchants?cursor=${first.body.next_cursor.replace(/^./, (c: string) => (c === 'A' ? 'B' : 'A'))}`,
    );
    expect(forged.body.errors[0].path).toBe('cursor');
  });

  it('are not found when they are not there, whatever the route', async () => {
    for (const [method, path] of [
      ['GET', ''],
      ['GET', '/api_keys'],
      ['POST', '/api_keys'],
    ] as const) {
      for (const id of ['249956523482091520', 'abc', '0', '99999999999999999999']) {
        const { status, body } = await test.call(method, `/v1/merchants/${id}${path}`);
        expect([status, body.code]).toEqual([404, 'not_found']);
      }
    }
  });
});

describe('time zones', () => {
  const open = (time_zone: string) => test.call('POST', '/v1/merchants', { body: { ...merchant, time_zone } });

  it.each(['UTC', 'Europe/Berlin', 'Australia/Lord_Howe', 'America/St_Johns', 'Etc/GMT+5', 'EST'])(
    'that ICU and PostgreSQL agree on are taken: %s',
    async (zone) => {
      const { status, body } = await open(zone);
      expect([status, body.time_zone, body.time_zones]).toEqual([201, zone, [{ time_zone: zone, from: null }]]);
    },
  );

  it.each([
    ['ECT', 'is not a time zone that PostgreSQL knows'],
    ['NST', 'is not a time zone that PostgreSQL knows'],
    ['PST', 'is not a time zone that PostgreSQL knows'],
    ['europe/berlin', 'is not a time zone that PostgreSQL knows'],
    ['CET', 'means another time to PostgreSQL than to ICU'],
    ['EET', 'means another time to PostgreSQL than to ICU'],
    ['posix/Europe/Berlin', 'must be an IANA time zone'],
    ['Factory', 'must be an IANA time zone'],
    ['Mars/Olympus', 'must be an IANA time zone'],
  ])('that one of them does not know, or that they disagree on, are refused: %s', async (zone, message) => {
    const { status, body } = await open(zone);
    expect([status, body.errors]).toEqual([422, [{ path: 'time_zone', message: expect.stringContaining(message) }]]);
    const { id } = await test.createMerchant();
    const moved = await test.call('PATCH', `/v1/merchants/${id}`, { body: { time_zone: zone } });
    expect([moved.status, moved.body.errors]).toEqual([422, body.errors]);
  });
});

describe('PATCH /v1/merchants/{id}', () => {
  const patch = (id: string, body: object) => test.call('PATCH', `/v1/merchants/${id}`, { body });
  const get = async (id: string) => (await test.call('GET', `/v1/merchants/${id}`)).body;
  /** The calendar day in a zone, some days from now. */
  const dayIn = (zone: string, later = 0): string =>
    new Intl.DateTimeFormat('sv', { timeZone: zone }).format(Date.now() + later * 86_400_000);

  it('renames at once and leaves the rest as it is', async () => {
    const { id } = await test.createMerchant();
    const before = await get(id);
    const { status, body } = await patch(id, { name: 'Renamed' });
    expect([status, body]).toEqual([200, { ...before, name: 'Renamed' }]);
    expect(await get(id)).toEqual(body);
    const { body: list } = await test.call('GET', '/v1/merchants?limit=1');
    expect(list.data).toEqual([body]);
  });

  it('moves to another zone from a day on, superseding what was planned from then on', async () => {
    const { id } = await test.createMerchant({ time_zone: 'Europe/Berlin' });
    const first = { time_zone: 'Europe/Berlin', from: null };
    const [soon, later] = [dayIn('Europe/Berlin', 3), dayIn('Europe/Berlin', 9)];
    const planned = await patch(id, { time_zone: 'Asia/Tokyo', time_zone_from: later });
    expect(planned.body).toMatchObject({
      time_zone: 'Europe/Berlin',
      time_zones: [first, { time_zone: 'Asia/Tokyo', from: later }],
    });
    const sooner = await patch(id, { time_zone: 'America/New_York', time_zone_from: soon });
    const expected = [first, { time_zone: 'America/New_York', from: soon }];
    expect(sooner.body).toMatchObject({ time_zone: 'Europe/Berlin', time_zones: expected });
    expect((await patch(id, { time_zone: 'America/New_York', time_zone_from: soon })).body.time_zones).toEqual(
      expected,
    );
  });

  it.each([
    { planned: 'Asia/Tokyo', instead: 'Europe/Berlin' },
    { planned: 'America/New_York', instead: 'Asia/Tokyo' },
    { planned: 'Pacific/Kiritimati', instead: 'America/New_York' },
  ])('supersedes $planned by $instead from the same day on, whichever begins it first', async (zones) => {
    const { id } = await test.createMerchant({ time_zone: 'Europe/Berlin' });
    const from = dayIn('Europe/Berlin', 5);
    await patch(id, { time_zone: zones.planned, time_zone_from: from });
    const { status, body } = await patch(id, { time_zone: zones.instead, time_zone_from: from });
    const expected = [
      { time_zone: 'Europe/Berlin', from: null },
      { time_zone: zones.instead, from },
    ];
    expect([status, body.time_zones]).toEqual([200, expected]);
  });

  it('judges how far it goes back by the zone that is left, not by one that it supersedes', async () => {
    const { id } = await test.createMerchant({ time_zone: 'UTC' });
    const from = dayIn('UTC', 5);
    await patch(id, { time_zone: 'Pacific/Kiritimati', time_zone_from: from });
    const { status, body } = await patch(id, { time_zone: 'Pacific/Pago_Pago', time_zone_from: from });
    expect([status, body.time_zones.slice(1)]).toEqual([200, [{ time_zone: 'Pacific/Pago_Pago', from }]]);
  });

  it.each(['America/Los_Angeles', 'Europe/Berlin', 'Asia/Tokyo', 'Pacific/Auckland'])(
    'without a day takes the merchant’s next one that has not begun in %s either',
    async (zone) => {
      const { id } = await test.createMerchant({ time_zone: 'Europe/Berlin' });
      const before = dayIn('Europe/Berlin');
      const { body } = await patch(id, { time_zone: zone });
      const { from } = body.time_zones[1];
      expect(from > before).toBe(true);
      expect(from > dayIn(zone)).toBe(true);
      expect(from <= dayIn('Europe/Berlin', 3)).toBe(true);
      expect(body.time_zone).toBe('Europe/Berlin');
    },
  );

  it('never moves a day that has begun', async () => {
    const { id } = await test.createMerchant({ time_zone: 'Europe/Berlin' });
    for (const later of [-400, -1, 0]) {
      const { status, body } = await patch(id, { time_zone: 'Asia/Tokyo', time_zone_from: dayIn('Asia/Tokyo', later) });
      expect([status, body.errors[0].path]).toEqual([422, 'time_zone_from']);
    }
    expect((await get(id)).time_zones).toHaveLength(1);
  });

  /** A zone of PostgreSQL’s, given by its offset, in which a day begins then. */
  const zoneWithMidnightAt = (midnightMs: number): { zone: string; day: string } => {
    const utcMidnightMs = Math.ceil(midnightMs / 86_400_000) * 86_400_000;
    const ahead = Math.round((utcMidnightMs - midnightMs) / 60_000);
    const [minutes, dayMs] = ahead > 720 ? [ahead - 1_440, utcMidnightMs - 86_400_000] : [ahead, utcMidnightMs];
    const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
    const zone = `<HERE>${minutes < 0 ? '+' : '-'}${hours}:${String(rest).padStart(2, '0')}`;
    return { zone, day: new Date(dayMs).toISOString().slice(0, 10) };
  };

  it.each([
    { minutes: 9, too_soon: true },
    { minutes: 12, too_soon: false },
  ])('gives notice: a day that begins in $minutes minutes is too soon: $too_soon', async ({ minutes, too_soon }) => {
    const { id } = await test.createMerchant({ time_zone: 'UTC' });
    const { zone, day } = zoneWithMidnightAt(Math.floor(Date.now() / 60_000 + minutes) * 60_000);
    const database = new Database(test.runtimeUrl, { poolSize: 1, connectTimeoutMs: 20_000, applicationName: 'test' });
    try {
      const plan = await database.transaction({ merchantIds: [BigInt(id)] }, Deadline.after(20_000), (client) =>
        planZone(client, BigInt(id), zone, day),
      );
      expect(plan).toEqual({ day, too_soon });
    } finally {
      await database.close();
    }
  });

  it('waits for a change of the same merchant that is under way, and supersedes it', async () => {
    const { id } = await test.createMerchant({ time_zone: 'Europe/Berlin' });
    const [soon, later] = [dayIn('Europe/Berlin', 3), dayIn('Europe/Berlin', 9)];
    const { body } = await asAdmin(test.ownerUrl, async (first) => {
      await first.query('BEGIN');
      await first.query('SELECT FROM merchants WHERE id = $1 FOR NO KEY UPDATE', [id]);
      await first.query(
        `INSERT INTO merchant_time_zones (merchant_id, from_at, from_day, time_zone)
         VALUES ($1, $2::date::timestamp AT TIME ZONE 'Asia/Tokyo', $2, 'Asia/Tokyo')`,
        [id, later],
      );
      const second = patch(id, { time_zone: 'America/New_York', time_zone_from: soon });
      const waiting = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
      await asAdmin(test.ownerUrl, (watcher) =>
        until('the second one waits', async () => (await watcher.query(waiting)).rowCount === 1, 5_000),
      );
      await first.query('COMMIT');
      return second;
    });
    expect(body.time_zones.slice(1)).toEqual([{ time_zone: 'America/New_York', from: soon }]);
  });

  it('does not go back by more than a day at once', async () => {
    const { id } = await test.createMerchant({ time_zone: 'Pacific/Kiritimati' });
    const { status, body } = await patch(id, { time_zone: 'Pacific/Pago_Pago' });
    expect([status, body.errors[0].path]).toEqual([422, 'time_zone']);
    expect((await patch(id, { time_zone: 'UTC' })).status).toBe(200);
  });

  it('mends for all days a zone in which none could be reckoned', async () => {
    const { id } = await test.createMerchant();
    const client = new pg.Client({ connectionString: test.ownerUrl });
    await client.connect();
    await client.query(`UPDATE merchants SET time_zone = 'ECT' WHERE id = $1`, [id]);
    await client.end();
    const refused = await patch(id, { time_zone: 'Europe/Paris', time_zone_from: dayIn('UTC', 5) });
    expect([refused.status, refused.body.errors[0].path]).toEqual([422, 'time_zone_from']);
    const { body } = await patch(id, { time_zone: 'Europe/Paris' });
    expect(body).toMatchObject({
      time_zone: 'Europe/Paris',
      time_zones: [{ time_zone: 'Europe/Paris', from: null }],
    });
    const moved = await patch(id, { time_zone: 'Asia/Tokyo' });
    expect(moved.body).toMatchObject({
      time_zone: 'Europe/Paris',
      time_zones: [
        { time_zone: 'Europe/Paris', from: null },
        { time_zone: 'Asia/Tokyo', from: expect.any(String) },
      ],
    });
  });

  it.each([
    ['body', {}],
    ['name', { name: '' }],
    ['time_zone', { time_zone: 5 }],
    ['time_zone_from', { time_zone_from: '2030-01-01' }],
    ['time_zone_from', { time_zone: 'UTC', time_zone_from: '2030-02-30' }],
    ['currencies', { currencies: ['USD'] }],
  ])('refuses at %j', async (path, body) => {
    const { id } = await test.createMerchant();
    const answer = await patch(id, body);
    expect([answer.status, answer.body.errors[0].path]).toEqual([422, path]);
  });

  it('is for operators, and does not find who is not there', async () => {
    const { id, key } = await test.createMerchant();
    const body = { name: 'Mine' };
    expect((await test.call('PATCH', `/v1/merchants/${id}`, { key, body })).body.code).toBe('forbidden');
    expect((await patch('249956523482091520', body)).status).toBe(404);
  });
});

describe('API keys', () => {
  it('rotate: a new one works at once, a revoked one stops here at once and elsewhere within its cache time', async () => {
    const { id, key, keyId } = await test.createMerchant();
    const asks = (url: string, secret: string) =>
      callAt(url, 'GET', '/v1/accounts', { key: secret }).then((answer) => answer.status);
    const issued = await test.call('POST', `/v1/merchants/${id}/api_keys`);
    expect(issued.status).toBe(201);
    expect(
      await Promise.all(
        [test.url, other.url].flatMap((url) => [key, issued.body.secret].map((secret) => asks(url, secret))),
      ),
    ).toEqual([200, 200, 200, 200]);

    const revoked = await test.call('DELETE', `/v1/merchants/${id}/api_keys/${keyId}`);
    const revokedAt = performance.now();
    expect(revoked.status).toBe(204);
    expect(await asks(test.url, key)).toBe(401);
    for (let askedAt = performance.now(); (await asks(other.url, key)) === 200; askedAt = performance.now())
      expect(askedAt - revokedAt).toBeLessThan(1_500);
    expect(await asks(other.url, issued.body.secret)).toBe(200);

    expect((await test.call('DELETE', `/v1/merchants/${id}/api_keys/${keyId}`)).status).toBe(204);
    const { body: list } = await test.call('GET', `/v1/merchants/${id}/api_keys`);
    expect(
      list.data.map((one: { id: string; revoked_at: string | null }) => [one.id, one.revoked_at === null]),
    ).toEqual([
      [issued.body.id, true],
      [keyId, false],
    ]);
    expect(JSON.stringify(list)).not.toContain(key);
  });

  it('may take turns on one connection: each is judged by itself, also after another and when it is revoked', async () => {
    const [one, two] = [await test.createMerchant(), await test.createMerchant()];
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const sockets = new Set<unknown>();
    const asks = async (key: string): Promise<number> => {
      const asked = request(`${test.url}/v1/accounts`, { agent, headers: { authorization: `Bearer ${key}` } }).end();
      const [answer] = (await once(asked, 'response')) as [IncomingMessage];
      sockets.add(answer.socket);
      const data = JSON.parse(Buffer.concat(await answer.toArray()).toString()).data as { merchant_id: string }[];
      if (answer.statusCode === 200) {
        expect(new Set(data.map((row) => row.merchant_id))).toEqual(new Set([key === one.key ? one.id : two.id]));
      }
      return answer.statusCode ?? 0;
    };
    const wrong = `${one.key.slice(0, -1)}${one.key.endsWith('0') ? '1' : '0'}`;
    for (const [key, status] of [
      [one.key, 200],
      [two.key, 200],
      [one.key, 200],
      [one.key, 200],
      [wrong, 401],
      [wrong, 401],
      [two.key, 200],
    ] as const) {
      expect(await asks(key)).toBe(status);
    }
    await test.call('DELETE', `/v1/merchants/${two.id}/api_keys/${two.keyId}`);
    expect([await asks(two.key), await asks(one.key)]).toEqual([401, 200]);
    expect(sockets.size).toBe(1);
    agent.destroy();
  });

  it('are revoked once: a second time does not move the moment', async () => {
    const { id, keyId } = await test.createMerchant();
    const revoke = async () => (await test.call('DELETE', `/v1/merchants/${id}/api_keys/${keyId}`)).status;
    const revokedAt = async () => (await test.call('GET', `/v1/merchants/${id}/api_keys`)).body.data[0].revoked_at;
    expect(await revoke()).toBe(204);
    const first = await revokedAt();
    expect(Date.parse(first)).toBeGreaterThan(0);
    await until('the clock moves on', () => Date.now() > Date.parse(first) + 1);
    expect(await revoke()).toBe(204);
    expect(await revokedAt()).toBe(first);
  });

  it('of another merchant are not found', async () => {
    const [one, two] = [await test.createMerchant(), await test.createMerchant()];
    expect((await test.call('DELETE', `/v1/merchants/${one.id}/api_keys/${two.keyId}`)).status).toBe(404);
    expect((await test.call('GET', '/v1/accounts', { key: two.key })).status).toBe(200);
  });

  it('are stored as digests alone', async () => {
    const { key } = await test.createMerchant();
    const client = new pg.Client({ connectionString: test.ownerUrl });
    await client.connect();
    const { rows } = await client.query('SELECT api_keys::text AS row FROM api_keys');
    await client.end();
    expect(rows.length).toBeGreaterThan(0);
    for (const { row } of rows) expect(row).not.toContain(key.slice(15, 50));
  });
});

describe('whose request it is', () => {
  it('an operator acts for the merchant that it names', async () => {
    const { id } = await test.createMerchant();
    const { status, body } = await test.call('GET', '/v1/accounts', { headers: { 'Counterfoil-Merchant': id } });
    expect([status, body.data[0].merchant_id]).toEqual([200, id]);
  });

  it('a merchant cannot act for another, and cannot learn that there is one', async () => {
    const [one, two] = [await test.createMerchant(), await test.createMerchant()];
    const foreign = await test.call('GET', '/v1/accounts', {
      key: one.key,
      headers: { 'Counterfoil-Merchant': two.id },
    });
    const unknown = await test.call('GET', '/v1/accounts', {
      key: one.key,
      headers: { 'Counterfoil-Merchant': '249956523482091520' },
    });
    expect({ ...foreign.body, trace_id: '' }).toEqual({ ...unknown.body, trace_id: '' });
    expect(foreign.status).toBe(404);
    expect(
      (await test.call('GET', '/v1/accounts', { key: one.key, headers: { 'Counterfoil-Merchant': one.id } })).status,
    ).toBe(200);
  });
});

describe('row-level security', () => {
  it('shows no row of any table to a transaction that names no tenant', async () => {
    await test.createMerchant();
    const client = new pg.Client({ connectionString: test.runtimeUrl });
    await client.connect();
    for (const table of ['merchants', 'api_keys', 'accounts', 'balances', 'events', 'idempotency_keys']) {
      expect((await client.query(`SELECT count(*)::int AS n FROM ${table}`)).rows[0].n, table).toBe(0);
    }
    await client.end();
  });
});
