import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WebhookFanOut } from '#webhooks/fan-out.js';
import { RECORDERS, RECORDS } from './outbox/recorder.js';
import { TestOutbox } from './outbox/test-outbox.js';
import { type Json, type Merchant, TestApi, transfer } from './support/api.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { TestLedger } from './support/ledger.js';
import { moveData, type PrivatePostgres, privatePostgres } from './support/postgres.js';
import { until } from './support/until.js';
import { expectVerified } from './support/verified.js';

/** More than a new server has given out by the time that it is migrated. */
const IDS_AHEAD = 20_000;
/** Microseconds, as an epoch's places: some days. */
const AHEAD = 1_000_000_000_000;
const EARLY = 12;
/** Cursors are signed with it; unless it is set it comes from the runtime role's password, which a move may change. */
const environment = { CURSOR_SECRET: 'the same on the old server and the new one' };
const CONSUMERS = [...RECORDERS, new WebhookFanOut()];

let server: PrivatePostgres;
let source: TestDatabase;
let target: TestDatabase;
/** Looks at the new server. */
let owner: pg.Client;
let api: TestApi;
let ledger: TestLedger;
let shop: Merchant;
/** What a follower has read before the move, and where it goes on. */
let read: string[];
let cursor: string;

const post = (on: Merchant, ref?: string) =>
  on.posted(transfer('cash:EUR', 'suspense:EUR', '1', ref === undefined ? {} : { external_ref: ref }));

/** Everything behind the cursor, page by page. */
async function follow(on: Merchant, after: string | undefined): Promise<{ ids: string[]; next: string }> {
  const ids: string[] = [];
  for (let next = after; ; ) {
    const { body } = await on.client.get(`/v1/events?limit=5${next === undefined ? '' : `&after=${next}`}`);
    ids.push(...body.data.map(({ id }: Json) => id));
    next = String(body.next_cursor);
    if (body.data.length === 0) return { ids, next };
  }
}

/** In the log's order; `behind` the epoch in which the source appended, or in it. */
const logged = async (where = 'true') =>
  (
    await owner.query<{ id: string }>(`SELECT xid || '-' || seq AS id FROM events WHERE ${where} ORDER BY xid, seq`)
  ).rows.map(({ id }) => id);
const recordedBy = async (consumer: string) =>
  (
    await owner.query<{ id: string }>(
      `SELECT xid || '-' || seq AS id FROM records WHERE consumer = $1 AND merchant_id = $2 ORDER BY number`,
      [consumer, shop.id],
    )
  ).rows.map(({ id }) => id);
const epochs = async () =>
  (
    await owner.query<{ number: number; started: Date | null }>(
      'SELECT number, server_started_at AS started FROM log_epochs ORDER BY number',
    )
  ).rows;

/** A life on the old server: read in part, applied in part, one event given up on and others behind it. Then it is moved. */
beforeAll(async () => {
  server = await privatePostgres();
  source = await freshDatabase();
  await asAdmin(source.ownerUrl, async (admin) => {
    await admin.query(RECORDS);
    await admin.query(
      `DO $$ BEGIN FOR id IN 1 .. ${IDS_AHEAD} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$`,
    );
  });
  const before = await TestApi.start({ on: source, environment });
  const old = await TestLedger.open(source);
  shop = await before.merchant();
  await shop.client.post('/v1/webhook_endpoints', { body: { url: 'https://example.com/hook' } });
  for (let count = 0; count < EARLY / 2; count += 1) await post(shop);
  const outbox = await TestOutbox.start(source, old, { consumers: CONSUMERS });
  await post(shop, `poison:throw:${shop.id}`);
  await until('it is a dead letter', async () => {
    const { body } = await before.operator.get(`/v1/dead_letters?merchant_id=${shop.id}&consumer=by_stream`);
    return body.data.length > 0;
  });
  await outbox.stop();
  for (let count = 0; count < EARLY / 2; count += 1) await post(shop);
  ({ ids: read } = await follow(shop, undefined));
  const page = await shop.client.get('/v1/events?limit=4');
  read = read.slice(0, 4);
  cursor = page.body.next_cursor;
  await Promise.all([before.stop(), old.close()]);

  target = await server.database(new URL(source.ownerUrl).pathname.slice(1));
  await asAdmin(target.ownerUrl, (admin) => admin.query(RECORDS));
  await moveData(source, target);
  owner = new pg.Client({ connectionString: target.ownerUrl });
  await owner.connect();
  api = await TestApi.start({ on: target, environment });
  shop = shop.via(api);
});
afterAll(async () => {
  await ledger?.close();
  await api.stop();
  await owner.end();
  await server.stop();
  await source.drop();
});

test('before anything is written on the new server, a follower goes on to the end of what was moved', async () => {
  const { rows } = await owner.query<{ is_ahead: boolean }>(
    'SELECT min(xid) > pg_snapshot_xmax(pg_current_snapshot()) AS is_ahead FROM events',
  );
  expect(rows).toEqual([{ is_ahead: true }]);
  expect(await epochs()).toHaveLength(1);
  const followed = await follow(shop, cursor);
  expect([...read, ...followed.ids]).toEqual(await logged(`merchant_id = ${shop.id}`));
  cursor = followed.next;
});

test('one epoch begins, whoever is the first to append, and all that is new comes behind all that was moved', async () => {
  const moved = await logged();
  // Writers of several processes at once, none of which has been told that the server is another one.
  ledger = await TestLedger.open(target);
  const others = await Promise.all([TestLedger.open(target), TestLedger.open(target)]);
  const merchants = await Promise.all(others.map((other) => other.createMerchant()));
  await Promise.all([
    ...others.flatMap((other, index) =>
      ['a', 'b', 'c'].map((code) => other.createAccount(merchants[index] as bigint, { code })),
    ),
    ...Array.from({ length: 4 }, () => post(shop)),
  ]);
  await Promise.all(others.map((other) => other.close()));
  expect((await epochs()).map(({ number }) => number)).toEqual([0, 1]);
  const all = await logged();
  expect(all.slice(0, moved.length)).toEqual(moved);
  expect(all).toHaveLength(moved.length + 4 + 6);
  const followed = await follow(shop, cursor);
  expect(followed.ids).toHaveLength(4);
  expect([...moved, ...followed.ids].slice(-4)).toEqual((await logged(`merchant_id = ${shop.id}`)).slice(-4));
  cursor = followed.next;
});

test('consumers go on where they were: nothing is lost, nothing applied twice, and what was parked goes on', async () => {
  const outbox = await TestOutbox.start(target, ledger, { consumers: CONSUMERS });
  const log = await logged(`merchant_id = ${shop.id}`);
  const letter = (await api.operator.get(`/v1/dead_letters?merchant_id=${shop.id}&consumer=by_stream`)).body.data[0];
  await until('all but the poison is recorded', async () => (await recordedBy('by_event')).length >= log.length - 1);
  const dead = (await api.operator.get(`/v1/dead_letters/${letter.id}`)).body;
  expect(dead.event.data.external_ref).toBe(`poison:throw:${shop.id}`);
  expect(await recordedBy('by_event')).toEqual(log.filter((id) => id !== dead.event.position));
  expect(await recordedBy('by_stream')).toEqual(log.slice(0, log.indexOf(dead.event.position)));
  await owner.query('INSERT INTO cured VALUES ($1)', [`poison:throw:${shop.id}`]);
  await api.operator.post(`/v1/dead_letters/${letter.id}/redrive`, { body: { by: 'ada', reason: 'cured' } });
  await until('the stream has caught up', async () => (await recordedBy('by_stream')).length >= log.length);
  expect(await recordedBy('by_stream')).toEqual(log);
  // Each event since the endpoint was made, once, and under the id that it had.
  const deliveries = async () =>
    (
      await owner.query<{ id: string }>(
        `SELECT event_xid || '-' || event_seq AS id FROM webhook_deliveries ORDER BY event_xid, event_seq`,
      )
    ).rows.map(({ id }) => id);
  const due = log.slice(-(EARLY + 1 + 4));
  await until('webhooks are fanned out', async () => (await deliveries()).length >= due.length);
  expect(await deliveries()).toEqual(due);
  await outbox.stop();
  await expectVerified(target);
});

test('the horizon is the oldest open transaction, itself not below it', async () => {
  await owner.query('BEGIN');
  const own = (await owner.query('SELECT log_xid() AS own')).rows[0].own;
  const look = `SELECT log_horizon() AS horizon, pg_snapshot_xmin(pg_current_snapshot()) = pg_current_xact_id() AS is_oldest`;
  // Leases are renewed now and then.
  const row = await until('no older one is open', async () => {
    const [seen] = (await owner.query<{ horizon: string; is_oldest: boolean }>(look)).rows;
    return seen?.is_oldest && seen;
  });
  await owner.query('ROLLBACK');
  expect(row.horizon).toBe(own);
});

/** Whoever looks at the server connects anew. */
async function whileItIsAway(work: () => Promise<void>): Promise<void> {
  await owner.end();
  await work();
  owner = new pg.Client({ connectionString: target.ownerUrl });
  await owner.connect();
  await until('the service is back', async () => (await shop.client.get('/v1/events?limit=1')).status === 200);
}

test('a restart of the server begins one, and a follower misses nothing', async () => {
  const before = await epochs();
  await whileItIsAway(() => server.restart());
  expect((await follow(shop, cursor)).ids, 'before anything is appended').toEqual([]);
  await post(shop);
  expect(await epochs()).toHaveLength(before.length + 1);
  await post(shop);
  expect(await epochs(), 'once').toHaveLength(before.length + 1);
  const followed = await follow(shop, cursor);
  expect(followed.ids).toEqual((await logged(`merchant_id = ${shop.id}`)).slice(-2));
  cursor = followed.next;
});

test('files of the stopped server that are put back begin one: what is new comes behind all that was read since they were copied', async () => {
  let ahead = '';
  await whileItIsAway(() =>
    server.putBack(async () => {
      await until('the service is back', async () => (await shop.client.get('/v1/events?limit=1')).status === 200);
      for (let count = 0; count < 3; count += 1) await post(shop);
      const followed = await until('the follower has read them', async () => {
        const read = await follow(shop, cursor);
        return read.ids.length === 3 && read;
      });
      ahead = followed.next;
    }),
  );
  const before = await epochs();
  await post(shop);
  expect(await epochs()).toHaveLength(before.length + 1);
  const followed = await follow(shop, ahead);
  expect(followed.ids).toEqual((await logged(`merchant_id = ${shop.id}`)).slice(-1));
  cursor = followed.next;
});

test('a server whose transaction ids were set back begins one, once', async () => {
  const before = await epochs();
  // As after pg_resetwal: the log holds what the server has yet to give out. And the clock was set back, too.
  const planted = await owner.query<{ id: string }>(
    `INSERT INTO events (merchant_id, xid, type, version, occurred_at, data)
     SELECT merchant_id, (xid::text::bigint + ${AHEAD})::text::xid8, type, version, occurred_at, data
       FROM events WHERE merchant_id = $1 ORDER BY xid DESC, seq DESC LIMIT 1
     RETURNING xid || '-' || seq AS id`,
    [shop.id],
  );
  await owner.query('UPDATE log_epochs SET server_started_at = to_timestamp(0)');
  const entering = await Promise.all(
    [1, 2, 3].map(async () => {
      const client = new pg.Client({ connectionString: target.runtimeUrl, application_name: 'entering' });
      await client.connect();
      return client;
    }),
  );
  const [first, ...rest] = entering as [pg.Client, ...pg.Client[]];
  const enter = (client: pg.Client) =>
    client.query<{ shift: string }>('SELECT enter_log_epoch() AS shift').then(({ rows }) => rows[0]?.shift);
  // Whoever begins it and does not come to a commit has begun nothing: the next one does.
  await first.query('BEGIN');
  const abandoned = await enter(first);
  const others = Promise.all(rest.map(enter));
  await until('the others wait', async () => {
    const waiting = `SELECT FROM pg_stat_activity WHERE application_name = 'entering' AND wait_event_type = 'Lock'`;
    return (await owner.query(waiting)).rowCount === rest.length;
  });
  await first.query('ROLLBACK');
  const [one, other] = await others;
  expect(other).toBe(one);
  expect(await enter(first)).toBe(one);
  expect(abandoned).not.toBe(one);
  await Promise.all(entering.map((client) => client.end()));
  await post(shop);
  expect(await epochs()).toHaveLength(before.length + 1);
  const followed = await follow(shop, cursor);
  expect(followed.ids).toEqual((await logged(`merchant_id = ${shop.id}`)).slice(-2));
  expect(followed.ids[0]).toBe(planted.rows[0]?.id);
});

test.each(['relay_cursors', 'consumer_positions'])(
  'one begins also where %s alone tell of what the server has yet to give out, because the events are forgotten',
  async (table) => {
    const before = await epochs();
    await owner.query(
      `UPDATE ${table} SET xid = ((SELECT max(xid) FROM events)::text::bigint + ${AHEAD})::text::xid8, seq = 0`,
    );
    await owner.query('UPDATE log_epochs SET server_started_at = to_timestamp(0)');
    await post(shop);
    expect(await epochs()).toHaveLength(before.length + 1);
    const { rows } = await owner.query(
      `SELECT (SELECT max(xid) FROM events) > (SELECT max(xid) FROM ${table}) AS is_behind`,
    );
    expect(rows).toEqual([{ is_behind: true }]);
  },
);
