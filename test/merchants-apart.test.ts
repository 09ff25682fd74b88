import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { systemClock } from '#kernel/clock.js';
import type { Consumer } from '#outbox/consumers/consumer.js';
import { Reactions } from '#outbox/consumers/reactions.js';
import type { Reactor } from '#outbox/consumers/reactor.js';
import type { EventBatch } from '#outbox/log/position.js';
import { forgetEvents } from '#outbox/log/retention.js';
import { type Backlog, RelayStore } from '#outbox/relay/relay-store.js';
import { merchantTransaction } from './outbox/merchant-transaction.js';
import { append, merchantsOf, PartitionWorker, SMALL } from './outbox/one-partition.js';
import { RECORDS, Recorder } from './outbox/recorder.js';
import { TestOutbox } from './outbox/test-outbox.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { TestLedger } from './support/ledger.js';
import { SEED } from './support/seed.js';
import { until } from './support/until.js';

let on: TestDatabase;
let ledger: TestLedger;
let admin: pg.Pool;

beforeAll(async () => {
  on = await freshDatabase();
  await asAdmin(on.ownerUrl, (client) => client.query(RECORDS));
  ledger = await TestLedger.open(on);
  admin = new pg.Pool({ connectionString: on.ownerUrl, max: 2 });
});
afterAll(async () => {
  await ledger.close();
  await admin.end();
  await on.drop();
});

/** Each test has a partition, and with it merchants and a log, of its own. */
let partitions = 0;
const nextPartition = (): number => partitions++;

/** `merchant place` of each event, in the order of the log within merchants; and as it was applied. */
async function compare(consumer: string, merchants: readonly bigint[]) {
  const of = async (table: string, order: string, more = '') => {
    const text = `SELECT merchant_id || ' ' || xid || '-' || seq AS at FROM ${table} WHERE merchant_id = ANY ($1) ${more} ORDER BY merchant_id, ${order}`;
    return (await admin.query<{ at: string }>(text, [merchants])).rows.map(({ at }) => at);
  };
  return {
    log: await of('events', 'xid, seq'),
    applied: await of('records', 'number', `AND consumer = '${consumer}'`),
  };
}

/** Each event once, in the order of the log. */
async function expectAllApplied(consumer: string, merchants: readonly bigint[]): Promise<void> {
  const { log, applied } = await compare(consumer, merchants);
  expect(applied).toEqual(log);
}

const apart = async (consumer: string) =>
  (
    await admin.query<{ merchant_id: string }>(
      'SELECT merchant_id FROM merchant_positions WHERE consumer = $1 ORDER BY 1',
      [consumer],
    )
  ).rows.map(({ merchant_id }) => BigInt(merchant_id));
const expire = () =>
  admin.query(`
UPDATE consumer_positions SET claimed_until = now() - interval '1 s' WHERE claimed_until > now();
UPDATE merchant_positions SET claimed_until = now() - interval '1 s' WHERE claimed_until > now();`);
const decideAll = (consumer: string) =>
  admin.query(
    `UPDATE dead_letters SET status = 'redriving', decided_by = 'a test', decided_at = now(), reason = 'cured' WHERE consumer = $1 AND status = 'parked'`,
    [consumer],
  );

/** What a reactor has done, into the same table: in its own transaction, and possibly again. */
function reactorOf(name: string, before: () => Promise<void> = async () => undefined): Reactions {
  const reactor: Reactor = {
    name,
    failureScope: 'stream',
    from: 'beginning',
    types: ['account.closed'],
    react: async (event) => {
      await before();
      const { external_ref: ref } = event.data as { external_ref?: string };
      if (ref !== undefined && (await admin.query('SELECT FROM cured WHERE ref = $1', [ref])).rowCount === 0)
        throw new Error('poison');
      await admin.query('INSERT INTO records (merchant_id, consumer, xid, seq) VALUES ($1, $2, $3, $4)', [
        event.merchantId,
        name,
        event.xid,
        event.seq,
      ]);
    },
  };
  return new Reactions(reactor, { execute: () => Promise.reject(new Error('it executes nothing')) });
}

/** A consumer's worker on a partition of its own, and merchants of that. */
async function partition(name: string, consumer: Consumer | Reactions = new Recorder(name, 'stream')) {
  const number = nextPartition();
  const worker = new PartitionWorker(ledger, consumer, number);
  await worker.register();
  const another = () => new PartitionWorker(ledger, consumer, number);
  return { worker, another, number, merchants: await merchantsOf(admin, number, 5) };
}

/** The same, where the first merchant's events made it go apart. */
async function flooded(name: string, { events = 20, consumer }: { events?: number; consumer?: Reactions } = {}) {
  const of = await partition(name, consumer);
  const [many, other] = of.merchants as [bigint, bigint];
  await append(admin, many, events);
  await of.worker.run((await of.worker.next())[0] as EventBatch);
  return { ...of, many, other };
}

test('a neighbour’s event is applied after a turn or two of the flood before it, and the flood in order and once', async () => {
  const [flooding, neighbour] = (await merchantsOf(admin, nextPartition(), 2)) as [bigint, bigint];
  await append(admin, flooding, 5_000);
  await append(admin, neighbour, 1);
  const turn = 200;
  const environment = { RELAY_STRETCH: String(turn), CONSUMER_PAGE: '100', CONSUMER_MERCHANT_PAGE: '50' };
  const outbox = await TestOutbox.start(on, ledger, { environment });
  onTestFinished(() => outbox.stop());
  for (const consumer of ['by_stream', 'by_event']) {
    const merchants = [flooding, neighbour];
    await until(
      `${consumer} has applied all`,
      async () => (await compare(consumer, merchants)).applied.length >= 5_001,
    );
    await expectAllApplied(consumer, merchants);
    const before = `SELECT count(*)::int AS n FROM records WHERE consumer = $1 AND merchant_id = $2
                       AND number < (SELECT number FROM records WHERE consumer = $1 AND merchant_id = $3)`;
    const { rows } = await admin.query<{ n: number }>(before, [consumer, flooding, neighbour]);
    expect(rows[0]?.n).toBeLessThanOrEqual(2 * turn);
    await until('all go together again', async () => (await apart(consumer)).length === 0);
  }
});

test('a merchant goes apart where a full page is mostly its own, and together again once it is level', async () => {
  const { worker, merchants } = await partition('goes_apart');
  const [many, few, late] = merchants as [bigint, bigint, bigint];
  await append(admin, few, 2);
  await append(admin, many, 30);
  await append(admin, late, 1);
  const [stretch] = (await worker.next()) as [EventBatch];
  await worker.run(stretch);
  expect(await apart('goes_apart')).toEqual([many]);
  // What is left of the partition is one stretch, however much of it is passed over.
  const turns = await worker.next();
  expect(turns.map(({ merchantId }) => merchantId)).toEqual([undefined, many]);
  await worker.run(turns[0] as EventBatch);
  const { applied } = await compare('goes_apart', merchants);
  expect(applied.map((at) => BigInt(at.split(' ')[0] as string))).toEqual([few, few, late]);
  await worker.run(turns[1] as EventBatch);
  expect((await compare('goes_apart', [many])).applied).toHaveLength(SMALL.apart.turnEvents);
  await worker.drain();
  await expectAllApplied('goes_apart', merchants);
  expect(await apart('goes_apart')).toEqual([]);
});

test('nobody goes apart from a partition that is not behind, nor where no merchant has more than its part', async () => {
  const { worker, merchants } = await partition('together');
  await append(admin, merchants[0] as bigint, SMALL.pageEvents - 1);
  await worker.run((await worker.next())[0] as EventBatch);
  for (let times = 0; times < 6; times += 1) for (const merchant of merchants) await append(admin, merchant, 1);
  for (let turns = await worker.next(); turns.length > 0; turns = await worker.next()) {
    for (const turn of turns) await worker.run(turn);
    expect(await apart('together')).toEqual([]);
  }
  await expectAllApplied('together', merchants);
});

test('a page that has no time for all of its events loses nothing of whoever goes apart in the midst of them', async () => {
  const monotonic = systemClock.monotonic.bind(systemClock);
  let lateMs = 0;
  const clock = vi.spyOn(systemClock, 'monotonic').mockImplementation(() => monotonic() + lateMs);
  onTestFinished(() => clock.mockRestore());
  const slowly = async () => {
    lateMs += 0.6 * SMALL.timeoutMs;
  };
  const { worker, merchants } = await partition('short_of_time', reactorOf('short_of_time', slowly));
  const [many, few] = merchants as [bigint, bigint];
  await append(admin, few, 1);
  await append(admin, many, SMALL.pageEvents - 2);
  await append(admin, few, 1);
  await worker.run((await worker.next())[0] as EventBatch);
  expect(await apart('short_of_time')).toEqual([many]);
  await worker.drain();
  await expectAllApplied('short_of_time', merchants);
});

test('a stream that waited, of a merchant that goes apart, goes on where it waited', async () => {
  const { worker, merchants } = await partition('goes_back');
  const [[many = 0n], poison] = [merchants, 'poison:throw:goes_back'];
  await append(admin, many, 1, poison);
  await append(admin, many, 80);
  // Its tries, and then turns that pass over more than a page of what waits.
  for (let round = 0; round < SMALL.maxTries + 5; round += 1) {
    for (const turn of await worker.next()) await worker.run(turn);
  }
  expect((await admin.query(`SELECT FROM parked_streams WHERE consumer = 'goes_back'`)).rowCount).toBe(1);
  expect(await apart('goes_back')).toEqual([many]);
  await admin.query('INSERT INTO cured VALUES ($1)', [poison]);
  await decideAll('goes_back');
  await worker.drain();
  await expectAllApplied('goes_back', merchants);
});

test('what a merchant that goes apart has not come to is not forgotten', async () => {
  const { worker, number, many } = await flooded('keeps', { events: 40 });
  // The partition is past them, as cursors are that no relay has moved here.
  for (const turn of await worker.next()) if (turn.merchantId === undefined) await worker.run(turn);
  await admin.query(`UPDATE relay_cursors SET xid = '9000000000000000000' WHERE partition = $1`, [number]);
  await admin.query(
    `UPDATE consumer_positions SET xid = '9000000000000000000' WHERE partition = $1 AND consumer <> 'keeps'`,
    [number],
  );
  await admin.query(`UPDATE events SET occurred_at = now() - interval '9 days' WHERE merchant_id = $1`, [many]);
  const { log } = await compare('keeps', [many]);
  await forgetEvents(ledger.database, 2, Date.now());
  expect((await compare('keeps', [many])).log).toEqual(log);
  await worker.drain();
  expect((await compare('keeps', [many])).applied).toEqual(log);
});

test('a merchant that was level stays apart where its partition has passed over more of it meanwhile', async () => {
  const { worker, another, merchants, many } = await flooded('passed_on');
  const turns = await worker.next();
  const [stretch, turn] = turns as [EventBatch, EventBatch];
  await worker.run(turn);
  // Finds it level, in three transactions, and would have it go together again in the fourth.
  const late = await another().sleepIn(turn, 4);
  await worker.run(stretch);
  await late();
  expect(await apart('passed_on')).toEqual([many]);
  await worker.drain();
  await expectAllApplied('passed_on', merchants);
});

test('a merchant that is level stays apart while somebody is at work on its partition', async () => {
  const { worker, another, merchants, many } = await flooded('at_work');
  const [stretch, turn] = (await worker.next()) as [EventBatch, EventBatch];
  // Has its claim, and has not moved yet.
  const wake = await another().sleepIn(stretch, 2);
  await worker.run(turn);
  await worker.run(turn);
  expect(await apart('at_work')).toEqual([many]);
  await wake();
  expect((await worker.next()).map(({ merchantId }) => merchantId)).toEqual([many]);
  await worker.drain();
  await expectAllApplied('at_work', merchants);
});

test('a merchant that is level stays apart while somebody is at work on it', async () => {
  const { worker, another, many, other } = await flooded('at_work_on_it', { events: SMALL.apart.turnEvents });
  const [turn] = (await worker.next()) as [EventBatch];
  await worker.run(turn);
  const levelled = await another().sleepIn(turn, 4);
  await append(admin, other, 1);
  await worker.run((await worker.next())[0] as EventBatch);
  // Has its claim, to follow the partition past the other's event.
  const follows = await another().sleepIn(turn, 3);
  await levelled();
  expect(await apart('at_work_on_it')).toEqual([many]);
  await follows();
  expect(await apart('at_work_on_it')).toEqual([]);
});

test('those who go apart are counted, and how long the oldest event that one waits for has waited', async () => {
  const { worker, merchants } = await partition('counted');
  const [many = 0n] = merchants;
  await append(admin, many, 1);
  await admin.query(`UPDATE events SET occurred_at = now() - interval '1 hour' WHERE merchant_id = $1`, [many]);
  await append(admin, many, 20);
  const backlog = async () => (await new RelayStore(ledger.database).backlog(['counted'])).get('counted') as Backlog;
  expect(await backlog()).toMatchObject({ apart: 0, apartAgeMs: 0 });
  await worker.run((await worker.next())[0] as EventBatch);
  const { apart: count, apartAgeMs } = await backlog();
  expect([count, Math.round(apartAgeMs / 3_600_000)]).toEqual([1, 1]);
  await worker.drain();
  expect(await backlog()).toMatchObject({ apart: 0, apartAgeMs: 0 });
});

test('a worker of the release before, which knows nobody who goes apart, moves nothing past one', async () => {
  const { worker, number, merchants, many } = await flooded('known_before');
  await admin.query(
    `INSERT INTO parked_streams (merchant_id, consumer, xid, seq) VALUES ($1, 'known_before', '0', 0)`,
    [many],
  );
  for (const sql of [
    `UPDATE consumer_positions SET xid = '9' WHERE consumer = 'known_before' AND partition = ${number}`,
    `UPDATE parked_streams SET xid = '9' WHERE consumer = 'known_before'`,
    `DELETE FROM parked_streams WHERE consumer = 'known_before'`,
  ]) {
    const client = await merchantTransaction(on, many);
    await expect(client.query(sql)).rejects.toMatchObject({ code: '40001' });
    await client.end();
  }
  await worker.drain();
  await expectAllApplied('known_before', merchants);
});

describe('whoever sleeps past a claim', () => {
  test.each([1, 2, 3, 4, 5, 6])(
    'in a turn of a merchant that went apart, before transaction %i, adds and loses nothing',
    async (transaction) => {
      const name = `slept_apart_${transaction}`;
      const { worker, another, merchants, many } = await flooded(name);
      const turn = (await worker.next()).find(({ merchantId }) => merchantId === many) as EventBatch;
      const wake = await another().sleepIn(turn, transaction);
      await expire();
      await worker.drain();
      await append(admin, many, 20);
      await worker.run((await worker.next())[0] as EventBatch);
      await wake();
      await expire();
      await worker.drain();
      await expectAllApplied(name, merchants);
    },
  );

  test('of a partition passes over nothing of a merchant that goes together again meanwhile', async () => {
    const name = 'slept_beside';
    const { worker, number, merchants, many, other } = await flooded(name, { consumer: reactorOf(name) });
    await append(admin, other, 1);
    await append(admin, many, 1);
    const [reached, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const waits = reactorOf(name, () => {
      reached.resolve();
      return released.promise;
    });
    const turns = await worker.next();
    // Has read as long as one of them goes apart, and would move the position when it does not any more.
    const late = new PartitionWorker(ledger, waits, number).run(turns[0] as EventBatch);
    await reached.promise;
    await expire();
    // A whole turn, and one that finds it level.
    for (let turn = 0; turn < 2; turn += 1) await worker.run(turns[1] as EventBatch);
    expect(await apart(name)).toEqual([]);
    released.resolve();
    await late;
    await expire();
    await worker.drain();
    const { log, applied } = await compare(name, merchants);
    expect([...new Set(applied)]).toEqual(log);
  });
});

/** Steps of a history; numbers choose among what there is. */
const STEP = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      who: fc.nat(2),
      count: fc.integer({ min: 1, max: 14 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('poison' as const), who: fc.nat(2) }) },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('run' as const), who: fc.nat(1), which: fc.nat(3), isOld: fc.boolean() }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('sleep' as const),
      which: fc.nat(3),
      transaction: fc.integer({ min: 1, max: 5 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('wake' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('expire' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('redrive' as const), who: fc.nat(1) }) },
);
type Step = typeof STEP extends fc.Arbitrary<infer T> ? T : never;

let histories = 0;

async function history(steps: readonly Step[], kind: 'consumer' | 'reactor'): Promise<void> {
  const name = `history_${kind}_${histories++}`;
  const number = histories % 64;
  const made = () => (kind === 'consumer' ? new Recorder(name, 'stream') : reactorOf(name));
  const workers = [0, 1, 2].map(() => new PartitionWorker(ledger, made(), number)) as [
    PartitionWorker,
    PartitionWorker,
    PartitionWorker,
  ];
  const [first, , sleeper] = workers;
  await admin.query('DELETE FROM events WHERE partition = $1', [number]);
  await first.register();
  const merchants = await merchantsOf(admin, number, 3);
  const ref = `poison:throw:${name}`;
  const old: EventBatch[] = [];
  let wake: (() => Promise<void>) | undefined;
  const chosen = async (which: number, isOld = false): Promise<EventBatch | undefined> => {
    const turns = isOld ? old : await first.next();
    if (!isOld) old.push(...turns);
    return turns[which % Math.max(turns.length, 1)];
  };
  const perform: { [K in Step['kind']]: (step: Extract<Step, { kind: K }>) => Promise<unknown> } = {
    append: ({ who, count }) => append(admin, merchants[who] as bigint, count),
    poison: ({ who }) => append(admin, merchants[who] as bigint, 1, ref),
    run: async ({ who, which, isOld }) => {
      const turn = await chosen(which, isOld);
      if (turn) await workers[who]?.run(turn);
    },
    sleep: async ({ which, transaction }) => {
      const turn = await chosen(which);
      if (turn && !wake) wake = await sleeper.sleepIn(turn, transaction);
    },
    wake: async () => {
      await wake?.();
      wake = undefined;
    },
    expire,
    redrive: async ({ who }) => {
      await decideAll(name);
      await workers[who]?.redrive();
    },
  };
  for (const step of steps) await perform[step.kind](step as never);
  await admin.query('INSERT INTO cured VALUES ($1)', [ref]);
  await wake?.();
  for (let letters = 1; letters > 0; ) {
    await expire();
    await decideAll(name);
    await first.drain();
    const open = `SELECT count(*)::int AS n FROM dead_letters WHERE consumer = $1 AND status IN ('parked', 'redriving', 'discarding')`;
    letters = (await admin.query<{ n: number }>(open, [name])).rows[0]?.n ?? 0;
  }
  const { log, applied } = await compare(name, merchants);
  // A reactor may do again what it has done, one after the other from there: each for the first time is in order.
  expect(kind === 'consumer' ? applied : [...new Set(applied)]).toEqual(log);
  expect(await apart(name)).toEqual([]);
  expect((await admin.query('SELECT FROM parked_streams WHERE consumer = $1', [name])).rowCount).toBe(0);
}

test.each([
  ['consumer', 12],
  ['reactor', 8],
] as const)(
  'whatever happens in whichever order, a %s applies each merchant’s events in order, and once',
  async (kind, numRuns) => {
    await fc.assert(
      fc.asyncProperty(fc.array(STEP, { minLength: 5, maxLength: 30 }), (steps) => history(steps, kind)),
      { seed: SEED, numRuns },
    );
  },
);
