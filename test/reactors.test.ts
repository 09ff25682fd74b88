import type { Command, CommandBus } from '@nestjs/cqrs';
import pg from 'pg';

import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';

import { systemClock } from '#kernel/clock.js';
import { ProblemError } from '#kernel/problem.js';
import { purgeIdempotencyKeys } from '#ledger/duties/purge.js';
import { type PostTransactionCommand, PostTransactionHandler } from '#ledger/posting/post-transaction.command.js';
import { NO_FENCES } from '#ledger/writing/balance-fences.js';
import { Reactions } from '#outbox/consumers/reactions.js';
import type { Reaction, Reactor } from '#outbox/consumers/reactor.js';
import type { EventOf } from '#outbox/log/catalogue.js';
import { IdempotentRequests } from '#platform/idempotency.js';
import { TestOutbox } from './outbox/test-outbox.js';
import { FEES } from './reactors/fees.js';
import { Shop } from './reactors/shop.js';
import { MOST_OF_A_PAGE_MS, Steps } from './reactors/steps.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { TestLedger } from './support/ledger.js';
import { until } from './support/until.js';
import { expectVerified } from './support/verified.js';

type Fees = Reactor<EventOf<'transaction.posted'>>;

let on: TestDatabase;
let ledger: TestLedger;
let admin: pg.Pool;

beforeEach(async () => {
  on = await freshDatabase();
  ledger = await TestLedger.open(on);
  admin = new pg.Pool({ connectionString: on.ownerUrl });
  // Its end does not wait for PostgreSQL's: the database may be dropped before.
  admin.on('error', () => undefined);
});
afterEach(async () => {
  await expectVerified(on);
  await ledger.close();
  await admin.end();
  await on.drop();
});

function commands(): Pick<CommandBus, 'execute'> {
  const handler = new PostTransactionHandler(ledger.database, ledger.directory, ledger.writer, ledger.ids, NO_FENCES);
  const execute = (command: Command<unknown>) => handler.execute(command as PostTransactionCommand);
  return { execute } as Pick<CommandBus, 'execute'>;
}

/** A worker's share of the log with this reactor, under a name of its own: each test has one. */
async function react(reactor: Fees, environment: Record<string, string> = {}): Promise<TestOutbox> {
  const reactions = [new Reactions(reactor, commands())];
  const outbox = await TestOutbox.start(on, ledger, { reactions, consumers: [], environment });
  onTestFinished(() => outbox.stop());
  return outbox;
}

/** FEES under another name, with something done before or after each fee. */
function fees(name: string, more: Partial<Fees> & { before?: () => unknown; after?: () => unknown } = {}): Fees {
  const { before, after, ...own } = more;
  const react: Fees['react'] = async (event, reaction) => {
    if (event.data.type !== 'sale') return;
    await before?.();
    await FEES.react(event, reaction);
    await after?.();
  };
  return { ...FEES, name, react, ...own };
}

/** As if the retention of keys were over. */
const purge = () => purgeIdempotencyKeys(ledger.database, 1, Date.now() + 60_000);

const open = (means?: bigint) => Shop.open(ledger, admin, means);

test('each sale of many merchants at once costs one fee, in the order of the sales', async () => {
  await react(fees('many'));
  const shops = await Promise.all(Array.from({ length: 8 }, () => open()));
  const sold = await Promise.all(shops.map((shop) => shop.sellWhile((sold) => sold.length < 20)));
  for (const [index, shop] of shops.entries()) {
    await shop.untilPast('many');
    expect(await shop.fees()).toEqual(sold[index]);
  }
});

test('a reactor from now on passes over what was there before it', async () => {
  const shop = await open();
  await shop.sell();
  // Now is where the log is read to: below the oldest transaction of anybody on this server.
  await until('the sale is below it', async () => {
    const { rows } = await admin.query('SELECT max(xid) < log_horizon() AS below FROM events WHERE merchant_id = $1', [
      shop.merchant,
    ]);
    return rows[0]?.below;
  });
  await react(fees('from_now', { from: 'now' }));
  await until('it is known', async () => {
    const { rows } = await admin.query(`SELECT FROM consumer_positions WHERE consumer = 'from_now'`);
    return rows.length > 0;
  });
  const sale = await shop.sell();
  await shop.untilPast('from_now');
  expect(await shop.fees()).toEqual([sale]);
});

test('a reaction that fails behind its effect is tried again, and has its effect once', async () => {
  let failures = 1;
  const after = (): void => {
    failures -= 1;
    if (failures >= 0) throw new Error('not now');
  };
  await react(fees('again', { after }));
  const shop = await open();
  const sale = await shop.sell();
  await shop.untilPast('again');
  expect(failures).toBeLessThan(0);
  expect(await shop.fees()).toEqual([sale]);
  expect(await shop.letters('again')).toEqual([]);
});

test('a worker that slept past its claim, behind its effect, and the one that went on have one effect', async () => {
  const reached = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  let calls = 0;
  const after = async (): Promise<void> => {
    calls += 1;
    if (calls > 1) return;
    reached.resolve();
    await released.promise;
  };
  const shop = await open();
  const sold = [await shop.sell(), await shop.sell()];
  await react(fees('slept', { after }));
  await reached.promise;
  await purge();
  await admin.query(`UPDATE consumer_positions SET claimed_until = now() - interval '1 s' WHERE consumer = 'slept'`);
  await react(fees('slept', { after }));
  await shop.untilPast('slept');
  released.resolve();
  await until('both have gone through the sales', () => calls >= 3);
  expect(await shop.fees()).toEqual(sold);
});

describe('a fee that is refused', () => {
  test('parks its merchant’s stream, which goes on in order once that is redriven; others are not held up', async () => {
    await react(fees('refused'));
    const [poor, rich] = [await open(2n), await open()];
    const sold = [await poor.sell(), await poor.sell()];
    await until('a fee became a dead letter', async () => (await poor.letters('refused')).length === 1);
    expect(await poor.letters('refused')).toMatchObject([
      { status: 'parked', tries: 3, error: expect.stringContaining('ProblemError') },
    ]);
    await poor.fund(10n);
    sold.push(await poor.sell());
    const other = await rich.sell();
    await Promise.all([poor.untilPast('refused'), rich.untilPast('refused')]);
    expect([await poor.fees(), await rich.fees()]).toEqual([[], [other]]);
    await poor.decide('redriving', 'refused');
    await poor.untilFees(sold.length);
    expect(await poor.fees()).toEqual(sold);
    expect(await poor.letters('refused')).toMatchObject([{ status: 'redriven' }]);
  });

  test('is discarded by an operator: its stream goes on without it', async () => {
    await react(fees('discarded'));
    const poor = await open(1n);
    await poor.sell();
    await until('the fee became a dead letter', async () => (await poor.letters('discarded')).length === 1);
    await poor.fund(10n);
    const sale = await poor.sell();
    await poor.decide('discarding', 'discarded');
    await poor.untilFees(1);
    expect(await poor.fees()).toEqual([sale]);
  });
});

test('a reactor that hangs is not waited for, and begins nothing afterwards: a dead letter, and neighbours go on', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  await react(fees('hangs', { failureScope: 'event', before: () => promise }));
  const shop = await open();
  const first = await shop.sell();
  await until('it was given up', async () => (await shop.letters('hangs')).length === 1);
  resolve();
  const second = await shop.sell();
  await shop.untilPast('hangs');
  expect(await shop.fees()).toEqual([second]);
  await shop.decide('redriving', 'hangs');
  await shop.untilFees(2);
  expect(await shop.fees()).toEqual([second, first]);
});

test('the keys of what may be redriven outlive the retention of keys, and go when it is settled', async () => {
  let fails = true;
  const after = (): void => {
    if (fails) throw new Error('not now');
  };
  await react(fees('kept', { after, failureScope: 'event' }));
  const shop = await open();
  const sale = await shop.sell();
  await until('it was given up', async () => (await shop.letters('kept')).length === 1);
  const keys = async (): Promise<string[]> => {
    const { rows } = await admin.query<{ key: string }>(
      `SELECT key FROM idempotency_keys WHERE merchant_id = $1 AND key LIKE 'reaction kept %'`,
      [shop.merchant],
    );
    return rows.map(({ key }) => key);
  };
  await purge();
  expect(await keys()).toHaveLength(1);
  fails = false;
  await shop.decide('redriving', 'kept');
  await until('it was redriven', async () => (await shop.letters('kept'))[0]?.status === 'redriven');
  expect(await shop.fees()).toEqual([sale]);
  await shop.untilPast('kept');
  await purge();
  expect(await keys()).toEqual([]);
});

/** Fees each of which takes most of its page's time. */
function slowly(): Fees['react'] {
  const monotonic = systemClock.monotonic.bind(systemClock);
  let late = 0;
  const clock = vi.spyOn(systemClock, 'monotonic').mockImplementation(() => monotonic() + late);
  onTestFinished(() => clock.mockRestore());
  return async (event, reaction) => {
    await FEES.react(event, reaction);
    late += MOST_OF_A_PAGE_MS;
  };
}

test('what a page has no time for is done by the next one', async () => {
  const shop = await open();
  const sold = [await shop.sell(), await shop.sell(), await shop.sell()];
  const react = slowly();
  await new Steps(ledger, admin, new Reactions({ ...FEES, react }, commands()), shop.merchant).run();
  expect(await shop.fees()).toEqual(sold);
  expect(await shop.ahead()).toBe(3);
});

test('what a page of a stream that catches up has no time for is done by the next one', async () => {
  let fails = true;
  const react = slowly();
  const failing: Fees['react'] = async (event, reaction) => {
    if (fails && event.data.type === 'sale') throw new Error('not now');
    await react(event, reaction);
  };
  const shop = await open();
  const sold = [await shop.sell(), await shop.sell(), await shop.sell(), await shop.sell()];
  const steps = new Steps(ledger, admin, new Reactions({ ...FEES, react: failing }, commands()), shop.merchant);
  await steps.run();
  fails = false;
  await steps.redrive();
  await steps.catchUp();
  expect(await shop.fees()).toEqual(sold);
});

test('of a partition one thing is done at a time, and of others something meanwhile', async () => {
  const reached = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const waiting: Fees['react'] = async (event, reaction) => {
    await FEES.react(event, reaction);
    reached.resolve();
    await released.promise;
  };
  const shop = await open();
  const neighbour = await Shop.elsewhere(ledger, admin, shop);
  await shop.sell();
  const steps = new Steps(ledger, admin, new Reactions({ ...FEES, react: waiting }, commands()), shop.merchant);
  const ended: string[] = [];
  const run = steps.run().then(() => ended.push('run'));
  await reached.promise;
  const caughtUp = steps.catchUp().then(() => ended.push('caught up'));
  for (let times = 0; times < 3; times += 1) await steps.catchUp(neighbour.merchant);
  expect(ended).toEqual([]);
  const claimed = 'SELECT claimed_until > now() AS is FROM consumer_positions WHERE partition = partition_of($1)';
  expect((await admin.query(claimed, [shop.merchant])).rows).toEqual([{ is: true }]);
  released.resolve();
  await Promise.all([run, caughtUp]);
  expect(ended).toEqual(['run', 'caught up']);
});

test('a merchant whose reaction takes long holds up none whose events are in another partition', async () => {
  const reached = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const waiting: Fees['react'] = async (event, reaction) => {
    if (event.data.external_ref === 'slow') {
      reached.resolve();
      await released.promise;
    }
    await FEES.react(event, reaction);
  };
  const slow = await open();
  const quick = await Shop.elsewhere(ledger, admin, slow);
  await react({ ...FEES, name: 'long', react: waiting }, { CONSUMER_TIMEOUT_MS: '60000' });
  const first = await slow.sell('slow');
  await reached.promise;
  const second = await quick.sell();
  await quick.untilFees(1);
  expect([await slow.fees(), await quick.fees()]).toEqual([[], [second]]);
  released.resolve();
  await slow.untilFees(1);
  expect(await slow.fees()).toEqual([first]);
});

test('a slow ledger makes no dead letters of healthy events, however long it is slow', async () => {
  const shop = await open();
  const sale = await shop.sell();
  const holder = await admin.connect();
  try {
    // The merchant's lock. It takes no xid, which would hold back the log itself.
    await holder.query('SELECT pg_advisory_lock($1)', [shop.merchant]);
    const outbox = await react(fees('patient'), { CONSUMER_TIMEOUT_MS: '400' });
    const [queue] = outbox.outbox.queues;
    // Had these tries counted, the sale would long be a dead letter.
    await until('it has failed more often than an event may', async () =>
      (await queue?.queue.getDelayed())?.some(({ attemptsMade }) => attemptsMade >= 5),
    );
  } finally {
    await holder.query('SELECT pg_advisory_unlock($1)', [shop.merchant]);
    holder.release();
  }
  await shop.untilPast('patient');
  expect([await shop.fees(), await shop.letters('patient')]).toEqual([[sale], []]);
});

test('a reactor is asked about its types alone', async () => {
  const seen: string[] = [];
  const shop = await open();
  await shop.sell();
  const asked: Fees['react'] = async (event) => void seen.push(event.type);
  await new Steps(ledger, admin, new Reactions({ ...FEES, react: asked }, commands()), shop.merchant).run();
  expect(seen).toEqual(['transaction.posted']);
});

test('a worker that slept while a stream caught up does not touch what waits since', async () => {
  let fails: string | undefined;
  const failing: Fees['react'] = async (event, reaction) => {
    if (event.data.external_ref === fails) throw new Error('not now');
    await FEES.react(event, reaction);
  };
  const reached = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const sleeping: Fees['react'] = async (event, reaction) => {
    await failing(event, reaction);
    reached.resolve();
    await released.promise;
  };
  const shop = await open();
  const stepsOf = (react: Fees['react']) =>
    new Steps(ledger, admin, new Reactions({ ...FEES, react }, commands()), shop.merchant);
  const [worker, sleeper] = [stepsOf(failing), stepsOf(sleeping)];
  const sold: string[] = [];
  const sellTwo = async (of: string): Promise<void> => {
    fails = of;
    sold.push(await shop.sell(of), await shop.sell());
    await worker.run();
    fails = undefined;
  };
  await sellTwo('first');
  await worker.redrive();
  const late = sleeper.catchUp();
  await reached.promise;
  await purge();
  await admin.query(`UPDATE consumer_positions SET claimed_until = now() - interval '1 s'`);
  await worker.catchUp();
  expect(await shop.fees()).toEqual(sold);
  await sellTwo('third');
  released.resolve();
  await late;
  await worker.redrive();
  await worker.catchUp();
  expect(await shop.fees()).toEqual(sold);
});

test('a worker that slept while its partition went on past a waiting stream does not end the wait', async () => {
  let fails = true;
  const failing: Fees['react'] = async (event, reaction) => {
    if (fails) throw new Error('not now');
    await FEES.react(event, reaction);
  };
  const reached = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const sleeping: Fees['react'] = async (event, reaction) => {
    await FEES.react(event, reaction);
    reached.resolve();
    await released.promise;
  };
  const shop = await open();
  const [worker, sleeper] = [failing, sleeping].map(
    (react) => new Steps(ledger, admin, new Reactions({ ...FEES, react }, commands()), shop.merchant),
  ) as [Steps, Steps];
  const sold = [await shop.sell(), await shop.sell()];
  await worker.run();
  fails = false;
  await worker.redrive();
  const late = sleeper.catchUp();
  await reached.promise;
  await admin.query(`UPDATE consumer_positions SET claimed_until = now() - interval '1 s'`);
  sold.push(await shop.sell());
  await worker.run();
  released.resolve();
  await late;
  await worker.catchUp();
  expect(await shop.fees()).toEqual(sold);
});

test('a refusal of a request that is no posting burns no key either', async () => {
  const requests = new IdempotentRequests(ledger.database, { waitMs: 1_000 });
  const merchant = await ledger.createMerchant();
  const idempotency = { key: 'reaction tried 1 1 one', requestSha256: Buffer.alloc(32), keepsRefusals: false } as const;
  const answering = { idempotency, status: 200, bodyOf: (n: number) => ({ body: { n } }) };
  const ask = (work: () => Promise<number>) => requests.answer(merchant, ledger.context(merchant), answering, work);
  const refused = ask(() => Promise.reject(new ProblemError('invalid_transition', 'not yet')));
  await expect(refused).rejects.toThrow('not yet');
  expect(await ask(async () => 1)).toMatchObject({ body: { n: 1 }, replayed: false });
  expect(await ask(async () => 2)).toMatchObject({ body: { n: 1 }, replayed: true });
});

test('effects of one reaction have keys of their own, and a name that is taken or odd is the reactor’s fault', async () => {
  const seen: string[] = [];
  const asked: Fees['react'] = async (event, reaction: Reaction) => {
    if (event.data.type !== 'sale') return;
    for (const effect of ['one', 'two', 'one', 'Three']) {
      await FEES.react(event, { execute: (_effect, make) => reaction.execute(effect, make) }).then(
        () => seen.push(effect),
        (error: Error) => seen.push(error.message),
      );
    }
  };
  await react({ ...FEES, name: 'named', react: asked });
  const shop = await open();
  const sale = await shop.sell();
  await shop.untilPast('named');
  expect(seen).toEqual([
    'one',
    'two',
    'two effects of one reaction are named one',
    'an effect is named by small letters, digits and _: Three',
  ]);
  expect(await shop.fees()).toEqual([sale, sale]);
  expect(() => new Reactions({ ...FEES, name: 'by name' }, commands())).toThrow('the name of a reactor');
});
