import { setTimeout as sleep } from 'node:timers/promises';
import { verify } from '#platform/verify.js';
import { checksOf, ROOMS } from '../../apps/rooms.js';
import { Dice } from '../histories/history.js';
import { untilEnded } from '../histories/ledger.js';
import { untilQuiet } from '../histories/quiet.js';
import { type Build, Service } from '../histories/servers.js';
import { asAdmin } from '../support/database.js';
import { privateRedis } from '../support/redis.js';
import { until } from '../support/until.js';
import { offendersOf } from '../support/verified.js';
import { CampaignFaults } from './faults.js';
import { type Counted, NAMES, WorkerSlot } from './fleet.js';
import { behind, judge } from './judge.js';
import { privatePostgres } from './servers.js';
import { LateWriter, openShops, Traffic } from './writers.js';

export interface CampaignOptions {
  readonly seconds: number;
  readonly seed: number;
  readonly apis: number;
  /** How long a transaction is held open before it commits. */
  readonly holdMs: number;
}

export interface CampaignOutcome {
  readonly report: string;
  readonly offences: readonly string[];
  readonly events: number;
  readonly faults: readonly string[];
  readonly counts: Traffic['counts'];
  readonly overtaken: number;
  readonly counted: Readonly<Record<Counted, number>>;
}

const OPERATOR_KEY = `cfo_${'0'.repeat(40)}`;
const SHOPS = 40;
const LATE_SHOPS = 20;
const CLIENTS = 4;
const CLIENT_PAUSE_MS = 20;
const TTL_MS = 1_500;
/** Short, so that a minute holds many faults. A lease, a job's lock and a claim all end within a pause. */
const SETTINGS = {
  EXPIRY_INTERVAL_MS: '300',
  RELAY_IDLE_MS: '50',
  RELAY_LEASE_MS: '1500',
  RELAY_RESEND_MS: '2000',
  RELAY_STRETCH: '200',
  CONSUMER_PAGE: '50',
  // So that merchants go apart, and with their partition again, all the time.
  CONSUMER_MERCHANT_PAGE: '5',
  CONSUMER_TIMEOUT_MS: '2000',
  CONSUMER_JOB_LOCK_MS: '1500',
  BALANCE_TTL_MS: String(TTL_MS),
  // A busy machine must not look like a Redis that is gone.
  BALANCE_REDIS_TIMEOUT_MS: '250',
  BALANCE_SWEEP_AFTER_MS: '2000',
  WRITER_GROUP_TIMEOUT_MS: '1500',
  REQUEST_DEADLINE_MS: '30000',
  LOG_LEVEL: 'error',
};
/** From the last fault until every consumer has the whole log; a busy machine is slow. */
const QUIET_LIMIT_MS = 120_000;

/** Real workers under faults; then their effects are judged by the log and by the ledger. */
export async function runCampaign(build: Build, options: CampaignOptions): Promise<CampaignOutcome> {
  const cleanup: (() => Promise<unknown> | unknown)[] = [];
  try {
    const on = await privatePostgres();
    cleanup.push(() => on.drop());
    const [cache, queue] = await Promise.all([privateRedis('cache'), privateRedis('queue')]);
    cleanup.push(() => Promise.all([cache.stop(), queue.stop()]));
    const env = {
      PATH: process.env.PATH,
      DATABASE_URL: on.ownerUrl,
      DATABASE_RUNTIME_URL: on.runtimeUrl,
      REDIS_URL: cache.url,
      REDIS_QUEUE_URL: queue.url,
      COUNTERFOIL_OPERATOR_KEY: OPERATOR_KEY,
      PORT: '0',
      ...SETTINGS,
    };
    const apis = Array.from(
      { length: options.apis },
      (_, index) => new Service(`api-${index + 1}`, build, 'dist/apps/api/src/main.js', env),
    );
    cleanup.push(() => Promise.all(apis.map((api) => api.end('SIGKILL'))));
    const workers = ['worker-1', 'worker-2'].map((name) => new WorkerSlot(name, build, env));
    cleanup.push(() => Promise.all(workers.map((worker) => worker.kill())));
    const killAll = () => {
      for (const process of [...apis, ...workers]) process.killNow();
    };
    // A run that ends early must leave no process behind, a stopped one least of all.
    process.once('exit', killAll);
    cleanup.push(() => process.removeListener('exit', killAll));
    await Promise.all([...apis, ...workers].map((process) => process.start()));
    const urls = apis.map(({ url }) => url as string);
    const late = await LateWriter.open(on, LATE_SHOPS);
    cleanup.push(() => late.close());
    const shops = await openShops(urls[0] as string, OPERATOR_KEY, SHOPS);
    const traffic = new Traffic({ urls, shops, on }, CLIENT_PAUSE_MS);
    const posted = () => traffic.counts.posted;
    const faults = new CampaignFaults({ workers, queue, cache, on, late, posted }, options.holdMs);

    const dice = new Dice(options.seed);
    const posting = traffic.run(dice, CLIENTS);
    const harm = faults.run(dice);
    await Promise.race([sleep(options.seconds * 1_000), posting, harm]);
    faults.stop();
    await harm;
    traffic.stop();
    await posting;

    const quietFrom = performance.now();
    return await asAdmin(on.ownerUrl, async (owner) => {
      const offences: string[] = await untilEnded(on.ownerUrl);
      await until('every consumer has the whole log', async () => (await behind(owner)) === 0, QUIET_LIMIT_MS).catch(
        async () => offences.push(`${await behind(owner)} events were not applied; ${workers.map(({ log }) => log)}`),
      );
      const quietMs = performance.now() - quietFrom;
      await Promise.all(workers.map((worker) => worker.settle()));
      const { events, offences: wrong } = await judge(owner);
      offences.push(...wrong, ...(await traffic.book.offences(owner)));
      offences.push(...(await untilQuiet(cache.url, on.ownerUrl, TTL_MS, () => traffic.readAll())));
      offences.push(
        ...Object.entries(offendersOf(await verify(on.runtimeUrl, await checksOf(ROOMS)))).map(
          ([name, rows]) => `${name}: ${rows}`,
        ),
      );
      const counted = Object.fromEntries(
        NAMES.map((name) => [name, workers.reduce((sum, worker) => sum + worker.count(name), 0)]),
      ) as Record<Counted, number>;
      const { counts } = traffic;
      const report = [
        `seed ${options.seed}, ${options.seconds} s${build.planted ? `, planted: ${build.planted}` : ''}`,
        `events ${events}, transactions ${counts.posted}, of which captures ${counts.captured}, voids ${counts.voided}, reversals ${counts.reversed}; holds that expire ${counts.expiring}, rolled back ${counts.rolledBack}, groups committed late ${late.counts.late} (after ${(options.holdMs / 1_000).toFixed(0)} s; ${late.counts.overtaken} transactions overtook them)`,
        `faults ${faults.done.length}: ${tally(faults.done)}`,
        Object.entries(counted)
          .map(([name, count]) => `${name} ${count}`)
          .join(', '),
        `everything applied ${(quietMs / 1_000).toFixed(1)} s after the last fault`,
        `offences ${offences.length}`,
      ].join('\n');
      return {
        report,
        offences,
        events,
        faults: faults.done,
        counts,
        overtaken: late.counts.overtaken,
        counted,
      };
    });
  } finally {
    for (const step of cleanup.reverse()) await step();
  }
}

function tally(names: readonly string[]): string {
  return [...Map.groupBy(names, (name) => name)].map(([name, all]) => `${name} ${all.length}`).join(', ') || 'none';
}
