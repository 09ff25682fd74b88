import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ForgetRefused, forgetConsumer, knownConsumers } from '#outbox/consumers/forget-consumer.js';
import { forgetEvents } from '#outbox/log/retention.js';
import { RelayStore } from '#outbox/relay/relay-store.js';
import { rebuildDailySummaries } from '#summaries/rebuild.js';
import { endAbandonedRebuilds } from '#summaries/rebuild-store.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { TestLedger, transfer } from './support/ledger.js';
import { sourceProcess } from './support/source-process.js';

let on: TestDatabase;
let ledger: TestLedger;
let owner: pg.Client;
let merchant: bigint;
let accounts: [bigint, bigint];

beforeAll(async () => {
  on = await freshDatabase();
  ledger = await TestLedger.open(on);
  owner = new pg.Client({ connectionString: on.ownerUrl });
  await owner.connect();
  merchant = await ledger.createMerchant();
  accounts = [
    await ledger.createAccount(merchant, { code: 'a' }),
    await ledger.createAccount(merchant, { code: 'b', minAvailable: null }),
  ];
});
afterAll(async () => {
  await owner.end();
  await ledger.close();
  await on.drop();
});

/** All that follows the log is past it. */
async function passAll(): Promise<void> {
  for (const table of ['relay_cursors', 'consumer_positions']) {
    await owner.query(`UPDATE ${table} SET xid = newest.xid, seq = newest.seq
                         FROM (SELECT xid, seq FROM events ORDER BY xid DESC, seq DESC LIMIT 1) newest`);
  }
}

/** And all of it is old: so all may be forgotten. */
beforeEach(async () => {
  await new RelayStore(ledger.database).register('follower', { from: 'beginning', keepsPosition: true });
  for (let count = 0; count < 6; count += 1) await ledger.post(merchant, transfer(...accounts, 1n));
  await owner.query(`UPDATE events SET occurred_at = now() - interval '30 days'`);
  await passAll();
});

const forget = () => forgetEvents(ledger.database, 2, Date.now());
const events = async () =>
  (await owner.query<{ xid: string; seq: string }>('SELECT xid, seq FROM events ORDER BY xid, seq')).rows;

describe('nothing behind the one that is furthest behind is forgotten, and all before it is', () => {
  test.each([
    ['a cursor', `UPDATE relay_cursors SET xid = $1, seq = $2 WHERE $3::bigint > 0`],
    ['a position', `UPDATE consumer_positions SET xid = $1, seq = $2 WHERE $3::bigint > 0`],
    [
      'a stream that waits behind a dead letter',
      `INSERT INTO parked_streams (xid, seq, merchant_id, consumer) VALUES ($1, $2, $3, 'follower')`,
    ],
  ])('where that is %s', async (_, standsAt) => {
    const before = await events();
    const place = before.at(-4) as { xid: string; seq: string };
    await owner.query(standsAt, [place.xid, place.seq, merchant]);
    expect(await forget()).toBe(before.length - 3);
    expect(await events()).toEqual(before.slice(-3));
    await owner.query('DELETE FROM parked_streams');
  });
});

test('of a partition that has more than one transaction deletes, all is forgotten in one round', async () => {
  await owner.query(
    `INSERT INTO events (merchant_id, type, version, occurred_at, data)
     SELECT $1, 'account.closed', 1, now() - interval '30 days', '{"account_id":"1"}' FROM generate_series(1, 5001)`,
    [merchant],
  );
  await passAll();
  expect(await forget()).toBeGreaterThan(5_001);
  expect(await events()).toEqual([]);
});

test('a rebuild that was killed holds up retention until its claim has run out, and one that fails not at all', async () => {
  await owner.query('DELETE FROM event_horizons');
  const killed = `INSERT INTO consumer_positions (consumer, partition) SELECT 'daily_summaries_7', partition FROM relay_partitions`;
  await owner.query(killed);
  await owner.query(`UPDATE projections SET claimed_until = now() + interval '1 minute'`);
  await endAbandonedRebuilds(ledger.database);
  expect(await forget()).toBe(0);
  await owner.query('UPDATE projections SET claimed_until = to_timestamp(0)');
  await endAbandonedRebuilds(ledger.database);
  const holdsUp = `SELECT FROM consumer_positions WHERE consumer LIKE 'daily%_'`;
  expect((await owner.query(holdsUp)).rowCount).toBe(0);

  await owner.query(`INSERT INTO consumer_positions (consumer, partition, xid, seq)
                     SELECT 'daily_summaries', partition, xid, seq FROM relay_cursors`);
  const failing = rebuildDailySummaries(ledger.database, () => {
    throw new Error('failed here');
  });
  await expect(failing).rejects.toThrow('failed here');
  expect((await owner.query(`${holdsUp} AND consumer <> 'daily_summaries'`)).rowCount).toBe(0);
  expect(await forget()).toBeGreaterThan(0);
  await owner.query(`DELETE FROM consumer_positions WHERE consumer = 'daily_summaries'`);
});

describe('a consumer that is gone', () => {
  const PLANT_LETTER = `
INSERT INTO dead_letters (merchant_id, id, consumer, xid, seq, event_type, event_version, parks, tries, error, created_at)
SELECT merchant_id, $1, 'gone', xid, seq, type, version, 'stream', 3, 'Error: planted', snowflake_time($1) FROM events ORDER BY xid LIMIT 1`;

  test('is forgotten by an operator with who and why, and holds up nothing any more', async () => {
    await new RelayStore(ledger.database).register('gone', { from: 'beginning', keepsPosition: true });
    const [id, settled] = [ledger.ids.next(), ledger.ids.next()];
    await owner.query(PLANT_LETTER, [id]);
    await owner.query(
      `INSERT INTO dead_letters (merchant_id, id, consumer, xid, seq, event_type, event_version, parks, tries, error, created_at,
                                 status, decided_by, decided_at, reason)
       SELECT merchant_id, $1, 'gone', xid, seq, type, version, 'stream', 3, 'Error: planted', snowflake_time($1),
              'redriven', 'bob', now(), 'cured' FROM events ORDER BY xid DESC LIMIT 1`,
      [settled],
    );
    await owner.query(`INSERT INTO parked_streams (merchant_id, consumer, xid, seq) VALUES ($1, 'gone', '0', 0)`, [
      merchant,
    ]);
    expect(await forget()).toBe(0);
    expect(await knownConsumers(ledger.database)).toContainEqual(
      expect.objectContaining({ consumer: 'gone', openLetters: 1, parkedStreams: 1 }),
    );
    await owner.query(
      `UPDATE consumer_positions SET claimed_until = now() + interval '1 minute' WHERE consumer = 'gone'`,
    );
    const decision = { consumer: 'gone', by: 'ada', reason: 'replaced' };
    await expect(forgetConsumer(ledger.database, decision)).rejects.toBeInstanceOf(ForgetRefused);
    await owner.query(`UPDATE consumer_positions SET claimed_until = now() WHERE consumer = 'gone'`);
    await forgetConsumer(ledger.database, decision);
    expect((await knownConsumers(ledger.database)).map(({ consumer }) => consumer)).toEqual(['follower']);
    const { rows } = await owner.query('SELECT status, decided_by, reason FROM dead_letters ORDER BY id');
    expect(rows).toEqual([
      { status: 'discarded', decided_by: 'ada', reason: 'replaced' },
      { status: 'redriven', decided_by: 'bob', reason: 'cured' },
    ]);
    expect((await owner.query('SELECT consumer, forgotten_by, reason FROM forgotten_consumers')).rows).toEqual([
      { consumer: 'gone', forgotten_by: 'ada', reason: 'replaced' },
    ]);
    expect(await forget()).toBeGreaterThan(0);
  });

  test('is forgotten by npm run consumers, which refuses those of its build and those it does not know', async () => {
    await new RelayStore(ledger.database).register('gone', { from: 'beginning', keepsPosition: true });
    const { execArgv = [] } = sourceProcess();
    const cli = fileURLToPath(new URL('../apps/worker/src/consumers-cli.ts', import.meta.url));
    const run = async (...words: string[]) => {
      const env = { PATH: process.env.PATH, DATABASE_RUNTIME_URL: on.runtimeUrl };
      const ended = promisify(execFile)(process.execPath, [...execArgv, cli, ...words], { env });
      return ended.then(
        ({ stdout }) => ({ code: 0, said: stdout }),
        (error: { code: number; stderr: string }) => ({ code: error.code, said: error.stderr }),
      );
    };
    const word = ['--by', 'ada', '--reason', 'replaced'];
    expect(await run('forget', 'gone')).toMatchObject({ code: 2, said: expect.stringContaining('usage') });
    expect(await run('forget', 'webhooks', ...word)).toMatchObject({ code: 1 });
    expect(await run('forget', 'nobody', ...word)).toMatchObject({ code: 1 });
    expect((await run('list')).said).toMatch(/^gone: of no consumer here;/m);
    expect(await run('forget', 'gone', ...word)).toMatchObject({ code: 0 });
    expect((await run('list')).said).not.toContain('gone:');
  });
});
