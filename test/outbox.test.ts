import pg from 'pg';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { EventBatch } from '#outbox/log/position.js';
import { Relay, type RelayTarget } from '#outbox/relay/relay.js';
import { RelayLease } from '#outbox/relay/relay-lease.js';
import { RelayStore } from '#outbox/relay/relay-store.js';
import { createLogger } from '#platform/logging.js';
import { merchantTransaction } from './outbox/merchant-transaction.js';
import { RECORDS } from './outbox/recorder.js';
import { TestOutbox } from './outbox/test-outbox.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { TestLedger, transfer } from './support/ledger.js';
import { TcpProxy } from './support/tcp-proxy.js';
import { until } from './support/until.js';

let on: TestDatabase;
let ledger: TestLedger;
let admin: pg.Client;

beforeAll(async () => {
  on = await freshDatabase();
  await asAdmin(on.ownerUrl, (client) => client.query(RECORDS));
  ledger = await TestLedger.open(on);
  admin = new pg.Client({ connectionString: on.ownerUrl });
  await admin.connect();
});
afterAll(async () => {
  await ledger.close();
  await admin.end();
  await on.drop();
});

interface Shop {
  merchant: bigint;
  accounts: [bigint, bigint];
}

async function shop(): Promise<Shop> {
  const merchant = await ledger.createMerchant();
  const accounts: [bigint, bigint] = [
    await ledger.createAccount(merchant, { code: 'a', minAvailable: null }),
    await ledger.createAccount(merchant, { code: 'b' }),
  ];
  return { merchant, accounts };
}

const post = ({ merchant, accounts }: Shop, externalRef?: string) =>
  ledger.post(merchant, transfer(...accounts, 1n, externalRef === undefined ? {} : { externalRef }));

/** The log of these merchants, and what a consumer has recorded of it, each as `xid-seq` in order. */
async function compare(consumer: string, merchants: readonly bigint[]) {
  const of = async (table: string, order: string, more = '') =>
    (
      await admin.query<{ at: string }>(
        `SELECT merchant_id || ' ' || xid || '-' || seq AS at FROM ${table} WHERE merchant_id = ANY ($1) ${more} ORDER BY merchant_id, ${order}`,
        [merchants],
      )
    ).rows.map(({ at }) => at);
  return {
    log: await of('events', 'xid, seq'),
    recorded: await of('records', 'number', `AND consumer = '${consumer}'`),
  };
}

async function untilRecorded(consumer: string, merchants: readonly bigint[]): Promise<void> {
  await until(`${consumer} has recorded the log`, async () => {
    const { log, recorded } = await compare(consumer, merchants);
    return recorded.length >= log.length;
  });
  const { log, recorded } = await compare(consumer, merchants);
  expect(recorded).toEqual(log);
}

/** The consumer has applied, or passed over, all that the merchant's log holds. */
const untilPast = (consumer: string, merchant: bigint) =>
  until(
    `${consumer} is past the log`,
    async () =>
      (await sum(
        `SELECT count(*)::int AS n FROM events e LEFT JOIN consumer_positions p ON p.partition = e.partition AND p.consumer = $2
          WHERE e.merchant_id = $1 AND (p.xid IS NULL OR (e.xid, e.seq) > (p.xid, p.seq))`,
        [merchant, consumer],
      )) === 0,
  );

/** Of the owner, whom PostgreSQL lets append late and out of order: the relay leans on no writer's good behaviour. */
const as = (merchant: bigint) => merchantTransaction(on, merchant, on.ownerUrl);
const CLOSED = `INSERT INTO events (merchant_id, type, version, occurred_at, data) VALUES ($1, 'account.closed', 1, now(), '{"account_id":"1"}')`;

const sum = (text: string, values: unknown[]) =>
  admin.query<{ n: number }>(text, values).then(({ rows }) => rows[0]?.n ?? 0);

describe('the log reaches its consumers', () => {
  let outbox: TestOutbox;
  beforeAll(async () => {
    outbox = await TestOutbox.start(on, ledger);
  });
  afterAll(() => outbox.stop());

  test('whole, once and in order, from many writers at once', async () => {
    const shops = await Promise.all(Array.from({ length: 8 }, shop));
    await Promise.all(shops.flatMap((one) => Array.from({ length: 40 }, () => post(one))));
    const merchants = shops.map(({ merchant }) => merchant);
    await untilRecorded('by_stream', merchants);
    await untilRecorded('by_event', merchants);
  });

  test('also where a transaction with a lower xid commits after higher ones have been written', async () => {
    const one = await shop();
    await untilRecorded('by_event', [one.merchant]);
    const slow = await as(one.merchant);
    // Takes its xid now.
    await slow.query('SELECT pg_current_xact_id()');
    await Promise.all(Array.from({ length: 20 }, () => post(one)));
    const rounds = outbox.outbox.rounds;
    await until('the relays have looked twice', () =>
      outbox.outbox.rounds.every((now, index) => now >= (rounds[index] ?? 0) + 2),
    );
    expect((await compare('by_event', [one.merchant])).recorded).toHaveLength(one.accounts.length);
    await slow.query(CLOSED, [one.merchant]);
    await slow.query('COMMIT');
    await slow.end();
    await untilRecorded('by_event', [one.merchant]);
    await untilRecorded('by_stream', [one.merchant]);
  });

  test('without what was rolled back', async () => {
    const one = await shop();
    const isKept = (index: number): boolean => index % 10 !== 0;
    for (let index = 0; index < 60; index += 1) {
      const client = await as(one.merchant);
      await client.query(CLOSED, [one.merchant]);
      await client.query(isKept(index) ? 'COMMIT' : 'ROLLBACK');
      await client.end();
    }
    await untilRecorded('by_stream', [one.merchant]);
    expect((await compare('by_stream', [one.merchant])).recorded).toHaveLength(54 + one.accounts.length);
  });

  test('when a job runs again, runs late, or is lost', async () => {
    const one = await shop();
    await Promise.all(Array.from({ length: 10 }, () => post(one)));
    await untilRecorded('by_stream', [one.merchant]);
    const { rows } = await admin.query<{ partition: number; xid: string; seq: string }>(
      'SELECT partition, xid, seq FROM events WHERE merchant_id = $1 ORDER BY xid, seq',
      [one.merchant],
    );
    const [queue] = outbox.outbox.queues;
    // Twice each, the newest first: to all of them there is nothing left to do.
    for (const job of [...rows, ...rows].reverse()) await queue?.queue.add('apply', job);
    await post(one);
    await untilRecorded('by_stream', [one.merchant]);
    // What waits is lost, and made anew from PostgreSQL.
    await queue?.queue.pause();
    await post(one);
    const last = await compare('by_stream', [one.merchant]);
    expect(last.recorded.length).toBe(last.log.length - 1);
    await until('it waits', async () => ((await queue?.queue.getWaitingCount()) ?? 0) > 0);
    await queue?.queue.obliterate({ force: true });
    await queue?.queue.resume();
    await untilRecorded('by_stream', [one.merchant]);
  });
});

test('a job is tried again soon, however long PostgreSQL has been away from its consumer', async () => {
  const proxy = await TcpProxy.open(on.runtimeUrl);
  const outbox = await TestOutbox.start(on, ledger, { environment: { DATABASE_RUNTIME_URL: proxy.url } });
  try {
    const one = await shop();
    await untilRecorded('by_stream', [one.merchant]);
    proxy.refuse();
    await post(one);
    const [queue] = outbox.outbox.queues;
    const job = await until('it has failed some times', async () =>
      (await queue?.queue.getDelayed())?.find(({ attemptsMade }) => attemptsMade >= 6),
    );
    expect(job.delay).toBeLessThanOrEqual(1_000);
    proxy.accept();
    await untilRecorded('by_stream', [one.merchant]);
    expect(await sum('SELECT count(*)::int AS n FROM dead_letters WHERE merchant_id = $1', [one.merchant])).toBe(0);
  } finally {
    await outbox.stop();
    await proxy.close();
  }
});

/** Each of its tries may take a process along, and the next one may take its whole time to start. */
const GIVING_UP_MS = 120_000;
const letter = async (merchant: bigint, consumer: string) =>
  until(
    `${consumer} has given up`,
    async () => {
      const { rows } = await admin.query<Record<'id' | 'status' | 'error' | 'xid' | 'seq', string> & { tries: number }>(
        'SELECT id, status, tries, error, xid, seq FROM dead_letters WHERE merchant_id = $1 AND consumer = $2 ORDER BY id DESC',
        [merchant, consumer],
      );
      return rows[0];
    },
    GIVING_UP_MS,
  );
const decide = (merchant: bigint, id: string, status: string) =>
  admin.query(
    `UPDATE dead_letters SET status = $3, decided_by = 'a test', decided_at = now(), reason = 'cured' WHERE merchant_id = $1 AND id = $2`,
    [merchant, id, status],
  );

test('a slow database makes no dead letters of healthy events, however long it is slow', async () => {
  const environment = { CONSUMER_TIMEOUT_MS: '400' };
  const outbox = await TestOutbox.start(on, ledger, { environment });
  const blocker = new pg.Client({ connectionString: on.ownerUrl });
  await blocker.connect();
  try {
    const one = await shop();
    await untilRecorded('by_stream', [one.merchant]);
    // Keeps the handlers' INSERT waiting. (A stronger lock takes an xid, and would hold back the log itself.)
    await blocker.query('BEGIN; LOCK TABLE records IN SHARE MODE');
    await post(one);
    const [queue] = outbox.outbox.queues;
    // Had these tries counted, the event would long be a dead letter.
    await until('it has failed more often than an event may', async () =>
      (await queue?.queue.getDelayed())?.some(({ attemptsMade }) => attemptsMade >= 5),
    );
    await blocker.query('COMMIT');
    await untilRecorded('by_stream', [one.merchant]);
    await untilRecorded('by_event', [one.merchant]);
    expect(await sum('SELECT count(*)::int AS n FROM dead_letters WHERE merchant_id = $1', [one.merchant])).toBe(0);
  } finally {
    await blocker.end();
    await outbox.stop();
  }
});

describe('an event that cannot be applied', () => {
  let outbox: TestOutbox;
  beforeAll(async () => {
    // What hangs and what spins takes all of it, at each of eight tries.
    outbox = await TestOutbox.start(on, ledger, { environment: { CONSUMER_TIMEOUT_MS: '1500' } });
  });
  afterAll(() => outbox.stop());

  test.each([
    ['throw', /Error: poison/],
    ['hang', /did not return within|deadline/],
    ['spin', /did not return within/],
    ['exit', /ended with code 3/],
    ['memory', /ended with SIG\w+: FATAL ERROR: .*out of memory/],
  ])(
    'because it makes its handler %s parks its own stream, or itself, and nobody else',
    async (how, error) => {
      const [poisoned, neighbour] = [await shop(), await shop()];
      const ref = `poison:${how}:${poisoned.merchant}`;
      await Promise.all([post(neighbour), post(poisoned)]);
      await post(poisoned, ref);
      await Promise.all([post(neighbour), post(poisoned), post(poisoned)]);
      const parked = await letter(poisoned.merchant, 'by_stream');
      await letter(poisoned.merchant, 'by_event');
      expect(parked.error).toMatch(error);
      expect(parked.tries).toBeGreaterThanOrEqual(2);
      await untilRecorded('by_stream', [neighbour.merchant]);
      await untilRecorded('by_event', [neighbour.merchant]);
      const { log } = await compare('by_stream', [poisoned.merchant]);
      const dead = `${poisoned.merchant} ${parked.xid}-${parked.seq}`;
      const before = log.slice(0, log.indexOf(dead));
      await until(
        'all but the poison has been recorded',
        async () => (await compare('by_event', [poisoned.merchant])).recorded.length >= log.length - 1,
      );
      expect((await compare('by_event', [poisoned.merchant])).recorded).toEqual(log.filter((at) => at !== dead));
      expect((await compare('by_stream', [poisoned.merchant])).recorded).toEqual(before);

      // Redriven while it is as bad as before: parked again.
      await decide(poisoned.merchant, parked.id, 'redriving');
      await until('it has failed again', async () => {
        const again = await letter(poisoned.merchant, 'by_stream');
        return again.status === 'parked' && again.tries > parked.tries;
      });
      await admin.query('INSERT INTO cured VALUES ($1)', [ref]);
      await decide(poisoned.merchant, parked.id, 'redriving');
      await untilRecorded('by_stream', [poisoned.merchant]);
      await post(poisoned);
      await untilRecorded('by_stream', [poisoned.merchant]);
      expect((await letter(poisoned.merchant, 'by_stream')).status).toBe('redriven');
      expect(
        await sum('SELECT count(*)::int AS n FROM parked_streams WHERE merchant_id = $1', [poisoned.merchant]),
      ).toBe(0);
    },
    2 * GIVING_UP_MS,
  );

  test('is passed over when it is discarded, and the stream goes on to the next poison', async () => {
    const one = await shop();
    await post(one, `poison:throw:${one.merchant}:1`);
    await post(one);
    await post(one, `poison:exit:${one.merchant}:2`);
    await post(one);
    const first = await letter(one.merchant, 'by_stream');
    await decide(one.merchant, first.id, 'discarding');
    const second = await until('the next one is parked', async () => {
      const newest = await letter(one.merchant, 'by_stream');
      return newest.id !== first.id && newest;
    });
    await decide(one.merchant, second.id, 'discarding');
    const { log } = await compare('by_stream', [one.merchant]);
    const dead = [first, second].map(({ xid, seq }) => `${one.merchant} ${xid}-${seq}`);
    const others = log.filter((at) => !dead.includes(at));
    await until(
      'the others are recorded',
      async () => (await compare('by_stream', [one.merchant])).recorded.length >= others.length,
    );
    expect((await compare('by_stream', [one.merchant])).recorded).toEqual(others);
  });

  test('leaves a stream that goes on although whoever redrove it died before the rest of it was applied', async () => {
    const one = await shop();
    await post(one, `poison:throw:${one.merchant}`);
    await post(one);
    const parked = await letter(one.merchant, 'by_stream');
    const { log } = await compare('by_stream', [one.merchant]);
    // As the first of its transactions leaves it.
    await admin.query('BEGIN');
    await decide(one.merchant, parked.id, 'discarded');
    await admin.query(
      `UPDATE parked_streams SET xid = $2, seq = $3 WHERE merchant_id = $1 AND consumer = 'by_stream'`,
      [one.merchant, parked.xid, parked.seq],
    );
    await admin.query('COMMIT');
    await until(
      'nothing waits',
      async () =>
        (await sum('SELECT count(*)::int AS n FROM parked_streams WHERE merchant_id = $1', [one.merchant])) === 0,
    );
    const others = log.filter((at) => at !== `${one.merchant} ${parked.xid}-${parked.seq}`);
    expect((await compare('by_stream', [one.merchant])).recorded).toEqual(others);
  });
});

test('a stream that waits for longer than a page catches up page by page, each event once', async () => {
  const outbox = await TestOutbox.start(on, ledger, { environment: { CONSUMER_PAGE: '3' } });
  onTestFinished(() => outbox.stop());
  const one = await shop();
  const ref = `poison:throw:${one.merchant}`;
  await post(one, ref);
  const parked = await letter(one.merchant, 'by_stream');
  for (let waiting = 0; waiting < 8; waiting += 1) await post(one);
  await untilPast('by_stream', one.merchant);
  await admin.query('INSERT INTO cured VALUES ($1)', [ref]);
  await decide(one.merchant, parked.id, 'redriving');
  await untilRecorded('by_stream', [one.merchant]);
});

describe('a relay that lost its lease', () => {
  test('moves no cursor, however late it wakes up, and the next holder goes on from there', async () => {
    const one = await shop();
    const store = new RelayStore(ledger.database);
    await store.register('fenced', { from: 'now', keepsPosition: false });
    const [sleeper, next] = [new RelayLease(ledger.database, 200), new RelayLease(ledger.database, 60_000)];
    onTestFinished(() => next.release());
    await until('all partitions are held', async () => {
      await sleeper.renew();
      return sleeper.epochs.size === 64;
    });
    await Promise.all(Array.from({ length: 5 }, () => post(one)));
    const limits = { batchSize: 100, resendMs: 60_000 };
    const { rows } = await admin.query<{ at: string }>(
      `SELECT xid || '-' || seq AS at FROM events WHERE merchant_id = $1 ORDER BY xid DESC, seq DESC LIMIT 1`,
      [one.merchant],
    );
    // All of them: an open transaction of any database on this server holds back some for a while.
    const handed = await until('the events can be read', async () => {
      const batches = await store.next('fenced', [...sleeper.epochs.keys()], limits);
      return batches.some(({ through }) => `${through.xid}-${through.seq}` === rows[0]?.at) && batches;
    });
    const epochs = sleeper.epochs;
    const of = (lease: ReadonlyMap<number, bigint>) =>
      handed.map(({ partition, through }) => ({ partition, through, epoch: lease.get(partition) ?? -1n }));
    await until('another one holds them', async () => {
      await next.renew();
      return next.epochs.size === 64;
    });
    expect(await store.move('fenced', of(epochs))).toEqual(new Set());
    expect(await store.next('fenced', [...next.epochs.keys()], limits)).toEqual(handed);
    expect((await store.move('fenced', of(next.epochs))).size).toBe(handed.length);
    expect(await store.next('fenced', [...next.epochs.keys()], limits)).toEqual([]);
  });

  test('shares the partitions with whoever comes, and gives them back', async () => {
    const [one, other] = [new RelayLease(ledger.database, 60_000), new RelayLease(ledger.database, 60_000)];
    await until('the first has all', async () => {
      await one.renew();
      return one.epochs.size === 64;
    });
    await until('both have half', async () => {
      await other.renew();
      await one.renew();
      return one.epochs.size === 32 && other.epochs.size === 32;
    });
    expect([...one.epochs.keys()].filter((partition) => other.epochs.has(partition))).toEqual([]);
    await one.release();
    await until('the second has all', async () => {
      await other.renew();
      return other.epochs.size === 64;
    });
    await other.release();
  });
});

test('events come again when the relay cannot hand them over, and when it dies before it moves its cursor', async () => {
  class Dying extends RelayStore {
    deaths = 0;
    override async move(...parameters: Parameters<RelayStore['move']>): Promise<Set<number>> {
      if (this.deaths++ === 0) throw new Error('died here');
      return super.move(...parameters);
    }
  }
  const one = await shop();
  const store = new Dying(ledger.database);
  const lease = new RelayLease(ledger.database, 60_000);
  await until('all partitions are held', async () => {
    await lease.renew();
    return lease.epochs.size === 64;
  });
  const handed: EventBatch[] = [];
  let refusals = 0;
  const target: RelayTarget = {
    consumer: 'dying',
    from: 'now',
    keepsPosition: false,
    batchSize: 100,
    dispatch: async (batches) => {
      if (refusals++ === 0) throw new Error('not now');
      handed.push(...batches);
    },
  };
  const logger = createLogger({ level: 'silent', service: 'test' });
  const relay = new Relay(target, { store, lease, logger }, { busyMs: 5, idleMs: 20, resendMs: 60_000 });
  await relay.round();
  await post(one);
  relay.start();
  await until('it came twice', () => handed.length >= 2);
  // From the same place; perhaps further, where an open transaction had held something back.
  expect(handed[1]?.after).toEqual(handed[0]?.after);
  await until('the relay is past it', async () => {
    return (await store.next('dying', [...lease.epochs.keys()], { batchSize: 100, resendMs: 60_000 })).length === 0;
  });
  await relay.stop();
  await lease.release();
});
