import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Json, type Merchant, TestApi, transfer } from './support/api.js';
import { asAdmin } from './support/database.js';
import { EventSource } from './support/event-source.js';
import { balancesOf, LedgerFold } from './support/ledger-fold.js';
import { until } from './support/until.js';

/** Clients that post, two a process; each does so many things. */
const POSTERS = 4;
const ROUNDS = 40;
/** Transactions beside them that are held open for a while; one in ten is rolled back. */
const HOLDERS = 4;
const STREAM_LENGTH = 40;

let apis: [TestApi, TestApi];
let shop: Merchant;

beforeAll(async () => {
  const environment = { REQUEST_DEADLINE_MS: '60000' };
  const first = await TestApi.start({ environment });
  apis = [first, await TestApi.start({ on: first.on, environment })];
  shop = await first.merchant();
  for (const code of ['a', 'b', 'c', 'd']) await shop.open(code);
});
afterAll(async () => {
  const [first, second] = apis;
  await second.stop();
  await first.stop();
});

const CODES = ['a', 'b', 'c', 'd'];
let rounds = 0;
let isOver = false;

/** Postings, holds, captures, voids and reversals back and forth, of the same accounts by way of both processes. */
async function post(as: Merchant, poster: number): Promise<void> {
  for (let round = 0; round < ROUNDS; round += 1) {
    const [from = '', to = ''] = [CODES[(poster + round) % 4], CODES[(poster + round * 3 + 1) % 4]];
    const pair = from === to ? transfer(from, 'suspense:EUR', '7') : transfer(from, to, '7');
    if (round % 3 === 0) {
      const { id } = await as.posted({ ...pair, status: 'pending' });
      const answer = await as.move(
        id,
        round % 2 === 0 ? 'post' : 'void',
        round % 2 === 0 ? { amount: '3' } : undefined,
      );
      expect(answer.status).toBe(201);
    } else {
      const { id } = await as.posted(pair);
      if (round % 3 === 1) expect((await as.move(id, 'reverse', { amount: '2' })).status).toBe(201);
    }
    rounds += 1;
  }
}

/** Writes events, and lets them wait until some more postings have overtaken them. Returns how many were committed. */
async function hold(holder: number): Promise<number> {
  const client = new pg.Client({ connectionString: apis[0].on.ownerUrl });
  await client.connect();
  let committed = 0;
  for (let turn = 1; !isOver; turn += 1) {
    await client.query('BEGIN');
    await client.query(
      `INSERT INTO events (merchant_id, type, version, occurred_at, data) VALUES ($1, 'account.closed', 1, now(), '{"account_id":"1"}')`,
      [shop.id],
    );
    const overtaken = rounds + 1 + ((holder * 7 + turn * 3) % 9);
    await until('it has been overtaken', () => isOver || rounds >= overtaken);
    const isKept = (holder + turn) % 10 !== 0;
    await client.query(isKept ? 'COMMIT' : 'ROLLBACK');
    if (isKept) committed += 1;
  }
  await client.end();
  return committed;
}

const THE_END = 'the end';
const isTheEnd = (event: Json | undefined): boolean => event?.data.external_ref === THE_END;

async function followPages(api: TestApi, limit: number): Promise<Json[]> {
  const { client } = shop.via(api);
  const log: Json[] = [];
  for (let cursor = ''; !isTheEnd(log.at(-1)); ) {
    const { body } = await client.get(`/v1/events?limit=${limit}&wait_ms=30000${cursor && `&after=${cursor}`}`);
    log.push(...body.data);
    cursor = body.next_cursor;
  }
  return log;
}

/** Breaks off again and again, and goes on where it was. */
async function followStreams(api: TestApi): Promise<Json[]> {
  const log: Json[] = [];
  let lastEventId: string | undefined;
  while (!isTheEnd(log.at(-1))) {
    const stream = await EventSource.open(api, shop, lastEventId === undefined ? {} : { lastEventId });
    for (let taken = 0; taken < STREAM_LENGTH && !isTheEnd(log.at(-1)); taken += 1) {
      const frame = await stream.next();
      if (!frame) break;
      log.push(frame.event);
      lastEventId = frame.id;
    }
    stream.close();
  }
  return log;
}

test('whoever follows the log meanwhile sees every event once, and rebuilds every balance', async () => {
  const [first, second] = apis;
  const followers = [followPages(first, 7), followPages(second, 100), followStreams(first), followStreams(second)];
  const holders = Array.from({ length: HOLDERS }, (_, holder) => hold(holder));
  const posters = Array.from({ length: POSTERS }, (_, poster) =>
    post(shop.via(poster % 2 === 0 ? first : second), poster),
  );
  await Promise.all(posters).finally(() => {
    isOver = true;
  });
  const held = (await Promise.all(holders)).reduce((sum, count) => sum + count, 0);
  expect(held).toBeGreaterThan(HOLDERS);
  await shop.posted(transfer('a', 'b', '1', { external_ref: THE_END }));
  const logs = await Promise.all(followers);

  const ids = await idsInTheTable(first);
  expect(ids.length).toBeGreaterThan(held + POSTERS * ROUNDS);
  for (const log of logs) {
    expect(log.map(({ id }) => id)).toEqual(ids);
    const fold = new LedgerFold();
    for (const event of log) fold.apply(event);
    expect(fold.balances()).toEqual(await balancesOf(shop));
  }
});

async function idsInTheTable(api: TestApi): Promise<string[]> {
  return asAdmin(api.on.ownerUrl, async (owner) => {
    const { rows } = await owner.query<{ id: string }>(
      `SELECT xid || '-' || seq AS id FROM events WHERE merchant_id = $1 ORDER BY xid, seq`,
      [shop.id],
    );
    return rows.map(({ id }) => id);
  });
}
