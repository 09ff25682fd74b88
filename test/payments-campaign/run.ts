import { verify } from '#platform/verify.js';
import { checksOf, ROOMS } from '../../apps/rooms.js';
import { Dice } from '../histories/history.js';
import { type Build, Service } from '../histories/servers.js';
import { asAdmin, freshDatabase } from '../support/database.js';
import { privateRedis } from '../support/redis.js';
import { offendersOf } from '../support/verified.js';
import { Client } from './client.js';
import { PaymentFaults } from './faults.js';
import { judge } from './judge.js';
import { type Shop, Teller } from './teller.js';
import { PaymentTraffic } from './traffic.js';

export interface PaymentsCampaign {
  /** Payments, each with its facts in an order of its own. */
  readonly permutations: number;
  readonly seed: number;
  /** Facts between two faults, on average. */
  readonly factsPerFault: number;
}

export interface PaymentsOutcome {
  readonly report: string;
  readonly offences: readonly string[];
  readonly faults: readonly string[];
  readonly payments: number;
  readonly outcomes: ReadonlyMap<string, number>;
}

const OPERATOR_KEY = `cfo_${'0'.repeat(40)}`;
const SHOPS = 6;
const SHOWN = 20;
const SETTINGS = { WRITER_GROUP_TIMEOUT_MS: '1500', REQUEST_DEADLINE_MS: '10000', LOG_LEVEL: 'error' };

/** Real processes under faults are told of payments in any order; then these are judged by what happened. */
export async function runPayments(build: Build, options: PaymentsCampaign): Promise<PaymentsOutcome> {
  const cleanup: (() => unknown)[] = [];
  try {
    const on = await freshDatabase();
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
    const apis = ['api-1', 'api-2'].map((name) => new Service(name, build, 'dist/apps/api/src/main.js', env));
    const worker = new Service('worker', build, 'dist/apps/worker/src/main.js', env);
    const services = [...apis, worker];
    cleanup.push(() => Promise.all(services.map((service) => service.end('SIGKILL'))));
    const killAll = () => {
      for (const service of services) service.killNow();
    };
    // A run that ends early must leave no process behind.
    process.once('exit', killAll);
    cleanup.push(() => process.removeListener('exit', killAll));
    await Promise.all(services.map((service) => service.start()));

    const from = performance.now();
    const teller = new Teller(new Client(apis, new Dice(options.seed)));
    const shops = await openShops(teller.client);
    const faults = new PaymentFaults(
      { apis, worker, ownerUrl: on.ownerUrl, told: () => teller.told },
      options.factsPerFault,
    );
    const harm = faults.run(new Dice(options.seed));
    const traffic = new PaymentTraffic(teller, shops, options.seed);
    await Promise.race([traffic.run(options.permutations), harm]);
    faults.stop();
    await harm;
    const seconds = (performance.now() - from) / 1_000;

    return await asAdmin(on.ownerUrl, async (owner) => {
      const offences = [...teller.offences, ...(await judge(traffic.ended, teller.client, owner))];
      const found = offendersOf(await verify(on.runtimeUrl, await checksOf(ROOMS)));
      offences.push(...Object.entries(found).map(([name, rows]) => `${name}: ${rows}`));
      const { requests, again } = teller.client.counts;
      const lives = [...traffic.ended.values()].flat();
      const report = [
        `seed ${options.seed}, ${options.permutations} permutations in ${seconds.toFixed(0)} s${build.planted ? `, planted: ${build.planted}` : ''}`,
        `payments ${lives.length}: ${listed(traffic.kinds)}`,
        `facts ${lives.reduce((sum, { facts }) => sum + facts.length, 0)}, told ${teller.told} times: ${listed(teller.outcomes)}; an hour late ${traffic.late}`,
        `requests ${requests}, sent again ${again}`,
        `faults ${faults.done.length}: ${listed(tally(faults.done))}`,
        `offences ${offences.length}`,
        ...offences.slice(0, SHOWN),
      ].join('\n');
      return { report, offences, faults: faults.done, payments: lives.length, outcomes: teller.outcomes };
    });
  } finally {
    for (const step of cleanup.reverse()) await step();
  }
}

async function openShops(client: Client): Promise<Shop[]> {
  const shops: Shop[] = [];
  for (let number = 1; number <= SHOPS; number += 1) {
    const shop = {
      name: `Shop ${number}`,
      time_zone: 'UTC',
      settlement_cutoff: '00:00',
      currencies: ['EUR', 'USD', 'JPY'],
    };
    const { status, body } = await client.post('/v1/merchants', OPERATOR_KEY, shop, true);
    if (status !== 201) throw new Error(`no merchant: ${status} ${JSON.stringify(body)}`);
    const accounts = new Map(body.accounts.map(({ code, id }: Record<string, string>) => [code, id]));
    shops.push({ merchantId: body.id, key: body.api_key.secret, accounts } as Shop);
  }
  return shops;
}

function tally(names: readonly string[]): Map<string, number> {
  return new Map([...Map.groupBy(names, (name) => name)].map(([name, all]) => [name, all.length]));
}

function listed(counts: ReadonlyMap<string, number>): string {
  return [...counts].map(([name, count]) => `${name} ${count}`).join(', ') || 'none';
}
