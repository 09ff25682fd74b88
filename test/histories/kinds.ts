import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import pg from 'pg';
import { asAdmin } from '../support/database.js';
import type { PrivateRedis } from '../support/redis.js';
import type { Kind, Sort, WhileCut } from './faults.js';
import type { Dice } from './history.js';
import { memoryStorm } from './memory-storm.js';
import type { Slot } from './slot.js';
import type { Wire } from './wires.js';
import type { World } from './world.js';

/** Longer than REQUEST_DEADLINE_MS, the TTL, a job's lock, the relay's lease, and the age from which a fence is swept. */
const PAUSE_MS = { low: 3_300, high: 4_800 };
/** Shorter and longer than the TTL. */
const CUT_MS = { low: 300, high: 3_000 };
const AWAY_MS = { low: 0, high: 1_500 };
const STORM_MS = { low: 1_000, high: 2_500 };
const STORM_EVERY_MS = 40;
const BLOCKED_MS = { low: 500, high: 3_500 };
const WRONG_CLOCK_MS = { low: 1_000, high: 3_000 };
/** A consumer's process wakes up before the worker above it. */
const FIRST_AWAKE_MS = 300;
const QUEUE_MAXMEMORY = '512mb';

const END_BACKENDS = `
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'counterfoil%'`;

const between = (dice: Dice, { low, high }: { low: number; high: number }): number => dice.between(low, high);
const kindOf = (sort: Sort, kind: string, strike: Kind['strike']): Kind => ({ sort, kind, strike });

export function onProcesses({ apis, workers }: World): Kind[] {
  const of = (slot: Slot, what: string): Kind[] => [
    kindOf('kill', `SIGKILL of ${what}`, () => slot.replace('SIGKILL')),
    kindOf('pause', `SIGSTOP of ${what}`, (dice) => paused(slot, [], dice)),
    kindOf('deploy', `SIGTERM of ${what}`, () => deployed(slot)),
    kindOf('resource', `event loop of ${what} blocked`, async (dice) => {
      const blockMs = between(dice, BLOCKED_MS);
      slot.harm({ blockMs });
      await sleep(blockMs);
    }),
    kindOf('clock', `clock of ${what} back by ${slot.name.endsWith('1') ? '5 s' : 'an hour'}`, async (dice) => {
      slot.harm({ clockMs: slot.name.endsWith('1') ? -5_000 : -3_600_000 });
      await sleep(between(dice, WRONG_CLOCK_MS));
      slot.harm({ clockMs: 0 });
    }),
  ];
  return [
    ...apis.flatMap((api) => of(api, 'an API')),
    ...workers.flatMap((worker) => [
      ...of(worker, 'a worker'),
      kindOf('pause', 'SIGSTOP of a worker and its consumers', (dice) => paused(worker, worker.children, dice)),
      kindOf('kill', 'SIGKILL of consumers', async () => signal(worker.children, 'SIGKILL')),
    ]),
  ];
}

export function onDatabase({ postgres, disk, wires, on }: World): Kind[] {
  const every = wires.database;
  const all = (): number[] => [...postgres.backends];
  return [
    kindOf('kill', 'SIGKILL of PostgreSQL', (dice) => postgres.crash('SIGKILL', () => sleep(between(dice, AWAY_MS)))),
    kindOf('kill', 'immediate shutdown of PostgreSQL', () => postgres.crash('SIGQUIT')),
    kindOf('kill', 'SIGKILL of a backend', async (dice) => signal([dice.pick(all())], 'SIGKILL')),
    kindOf('pause', 'SIGSTOP of PostgreSQL', async (dice) => {
      postgres.signal('SIGSTOP');
      await sleep(between(dice, PAUSE_MS));
      postgres.signal('SIGCONT');
    }),
    kindOf('resource', 'disk full', async (dice) => {
      disk.fill(all());
      await sleep(between(dice, PAUSE_MS));
      disk.free(all());
      await postgres.revive();
    }),
    kindOf('resource', 'all connections taken', (dice) => taken(on.runtimeUrl, between(dice, STORM_MS))),
    kindOf('network', 'connections to PostgreSQL ended again and again', (dice) => storm(on.ownerUrl, dice)),
    kindOf('network', 'PostgreSQL 500 ± 300 ms away', (dice) =>
      slowly(every, { lagMs: 500, jitterMs: 300 }, between(dice, PAUSE_MS)),
    ),
    kindOf('network', 'PostgreSQL behind 64 kB a second', (dice) =>
      slowly([dice.pick(every)], { bytesPerSecond: 65_536 }, between(dice, STORM_MS)),
    ),
    kindOf('network', 'one cut off from PostgreSQL', (dice) => cutOff(dice, dice.pick(every))),
    kindOf('network', 'connections to PostgreSQL half open', async (dice) => {
      const wire = dice.pick(every);
      await wire.tell({ what: 'halfOpen' });
      await sleep(between(dice, PAUSE_MS));
      await wire.tell({ what: 'endSilent' });
    }),
    ...(['lost', 'unanswered', 'late'] as const).map((loss) =>
      kindOf('network', `reset after COMMIT was sent, which was ${loss}`, async (dice) => {
        for (const wire of every) await wire.tell({ what: 'lose', loss, times: 1 + dice.below(3) });
        await sleep(between(dice, STORM_MS));
        for (const wire of every) await wire.tell({ what: 'forget' });
      }),
    ),
  ];
}

export function onCache({ apis, cache, wires }: World, whileCut: WhileCut): Kind[] {
  const one = (dice: Dice, cause: string, fault: (wire: Wire) => Promise<unknown>): Promise<void> => {
    const index = dice.below(apis.length);
    return whileCut(cause, [apis[index] as Slot], () => fault(wires.cache[index] as Wire));
  };
  return [
    kindOf('other', 'FLUSHALL', () => withAdmin(cache, (admin) => admin.flushall())),
    kindOf('resource', 'cache Redis short of memory', (dice) =>
      withAdmin(cache, (admin) => memoryStorm(admin, dice, between(dice, STORM_MS))),
    ),
    kindOf('kill', 'SIGKILL of cache Redis', () => whileCut('Redis gone', apis, () => cache.crash())),
    kindOf('pause', 'SIGSTOP of cache Redis', (dice) =>
      whileCut('Redis gone', apis, () => frozen(cache, dice.between(200, 2_500))),
    ),
    kindOf('network', 'an API cut off from Redis', (dice) => one(dice, 'an API cut off', (wire) => cutOff(dice, wire))),
    kindOf('network', 'silence between an API and Redis', (dice) =>
      one(dice, 'an API cut off', (wire) => silent(dice, wire)),
    ),
    kindOf('network', 'cache Redis 500 ± 300 ms away', (dice) =>
      one(dice, 'an API far away', (wire) => slowly([wire], { lagMs: 500, jitterMs: 300 }, between(dice, STORM_MS))),
    ),
  ];
}

export function onQueue({ queue, bank }: World): Kind[] {
  return [
    kindOf('kill', 'queue Redis killed, empty again', () => queue.crash()),
    kindOf('pause', 'SIGSTOP of queue Redis', (dice) => frozen(queue, between(dice, PAUSE_MS))),
    kindOf('resource', 'queue Redis out of memory', (dice) =>
      withAdmin(queue, async (admin) => {
        await admin.config('SET', 'maxmemory', '1');
        await sleep(between(dice, STORM_MS));
        await admin.config('SET', 'maxmemory', QUEUE_MAXMEMORY);
      }),
    ),
    kindOf('kill', 'SIGKILL of the bank', async () => {
      await bank.end('SIGKILL');
      await bank.start();
    }),
    kindOf('network', 'connections to the bank dropped', (dice) =>
      bank.fail({
        what: 'drop',
        route: dice.pick(['instruct', 'ask']),
        when: dice.pick(['before', 'after']),
        times: 1 + dice.below(3),
      }),
    ),
  ];
}

/** A transaction that is held open holds back the log, and commits below all that others committed meanwhile; or never. */
export function onLog({ on, late }: World): Kind[] {
  const held = async (dice: Dice, end: 'COMMIT' | 'ROLLBACK'): Promise<void> => {
    const client = new pg.Client({ connectionString: on.ownerUrl });
    // PostgreSQL comes and goes.
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.query('BEGIN');
      await client.query(late.insert, [late.merchant]);
      await sleep(dice.between(1_000, 3_000));
      await client.query(end);
    } catch {
      // Killed, cut or full: it may have been committed or not, and the log says which.
    } finally {
      await client.end().catch(() => undefined);
    }
  };
  return [
    kindOf('other', 'a transaction committed late', (dice) => held(dice, 'COMMIT')),
    kindOf('other', 'a transaction rolled back late', (dice) => held(dice, 'ROLLBACK')),
  ];
}

async function paused(slot: Slot, consumers: readonly number[], dice: Dice): Promise<void> {
  slot.pause();
  signal(consumers, 'SIGSTOP');
  await sleep(between(dice, PAUSE_MS));
  signal(consumers, 'SIGCONT');
  if (consumers.length > 0) await sleep(FIRST_AWAKE_MS);
  slot.resume();
}

/** What was begun is finished: it ends by itself, and with 0. */
async function deployed(slot: Slot): Promise<void> {
  const { code, log, forMs } = await slot.replace('SIGTERM');
  if (code !== 0) throw new Error(`${slot.name} ended with ${code} after ${forMs.toFixed(0)} ms; ${log}`);
}

async function slowly(wires: readonly Wire[], pace: object, forMs: number): Promise<void> {
  for (const wire of wires) await wire.tell({ what: 'slow', ...pace });
  await sleep(forMs);
  for (const wire of wires) await wire.tell({ what: 'quick' });
}

async function cutOff(dice: Dice, wire: Wire): Promise<void> {
  await wire.tell({ what: 'refuse' });
  await sleep(between(dice, CUT_MS));
  await wire.tell({ what: 'accept' });
}

async function silent(dice: Dice, wire: Wire): Promise<void> {
  await wire.tell({ what: 'stall' });
  await sleep(between(dice, CUT_MS));
  await wire.tell({ what: 'resume' });
}

async function frozen(redis: PrivateRedis, forMs: number): Promise<void> {
  redis.signal('SIGSTOP');
  await sleep(forMs);
  redis.signal('SIGCONT');
}

/** Connects until it is refused, and gives all of it back. */
async function taken(url: string, forMs: number): Promise<void> {
  const held: pg.Client[] = [];
  const end = performance.now() + forMs;
  while (performance.now() < end) {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 1_000 });
    client.on('error', () => undefined);
    try {
      await client.connect();
      held.push(client);
    } catch {
      await sleep(STORM_EVERY_MS);
    }
  }
  await Promise.all(held.map((client) => client.end().catch(() => undefined)));
}

async function storm(ownerUrl: string, dice: Dice): Promise<void> {
  const end = performance.now() + between(dice, STORM_MS);
  await asAdmin(ownerUrl, async (owner) => {
    while (performance.now() < end) {
      await owner.query(END_BACKENDS);
      await sleep(STORM_EVERY_MS);
    }
  });
}

/** Of what is asked of a Redis that is not there, as when the run broke off. */
const ADMIN_RETRIES = 5;

async function withAdmin(redis: PrivateRedis, work: (admin: Redis) => Promise<unknown>): Promise<void> {
  const admin = new Redis(redis.url, { maxRetriesPerRequest: ADMIN_RETRIES });
  // What it asks then fails; a listener for each attempt at connecting would only be told of it before.
  admin.on('error', () => undefined);
  try {
    await work(admin);
  } finally {
    admin.disconnect();
  }
}

/** Processes that are gone already need nothing. */
function signal(pids: readonly (number | undefined)[], name: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      if (pid !== undefined) process.kill(pid, name);
    } catch {
      // Gone.
    }
  }
}
