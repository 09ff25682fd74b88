import { setTimeout as sleep } from 'node:timers/promises';
import { privateRedis } from '../support/redis.js';
import { SimulatedBank } from '../support/simulated-bank.js';
import { check, type Ledger, storyOf, type Verdict, type Violation } from './check.js';
import { type Account, Clients, type Tenant } from './clients.js';
import { type Fault, Faults } from './faults.js';
import { type Cut, Dice, emptyHistory, type History } from './history.js';
import { readLedger, untilEnded } from './ledger.js';
import { Nights } from './nights.js';
import { untilQuiet } from './quiet.js';
import { type Build, Service } from './servers.js';
import { Wire } from './wire.js';

export interface RunOptions {
  readonly ownerUrl: string;
  readonly runtimeUrl: string;
  readonly redisQueueUrl: string;
  readonly seconds: number;
  readonly seed: number;
  /** CACHE_WRITE_POLICY. */
  readonly policy: Policy;
  /** Clients that do nothing but read, without a pause. */
  readonly readers: number;
}

export const POLICIES = ['available', 'strict'] as const;
export type Policy = (typeof POLICIES)[number];

export interface Outcome {
  readonly report: string;
  /** The history of what is wrong; empty when nothing is. */
  readonly offences: readonly string[];
  /** Reads that the named exception excuses, with their stories. */
  readonly excused: readonly string[];
  readonly faults: readonly Fault[];
  readonly reads: number;
  readonly stale: number;
  readonly wrong: number;
  /** Transactions in the ledger, by what was asked for. */
  readonly kinds: ReadonlyMap<string, number>;
  readonly acknowledgements: number;
  readonly daysSettled: number;
  readonly payouts: number;
  readonly fromCacheNearFaults: number;
}

const OPERATOR_KEY = `cfo_${'0'.repeat(40)}`;
const CLIENTS = 20;
const TENANTS = 3;
const HOT = 2;
const COLD = 6;
const TTL_MS = 1_500;
const L1_MAX_AGE_MS = 300;
/** Small, so that a minute holds many faults; but a busy machine must not look like a Redis that is gone. */
const SETTINGS = {
  BALANCE_TTL_MS: String(TTL_MS),
  BALANCE_L1_MAX_AGE_MS: String(L1_MAX_AGE_MS),
  BALANCE_SWEEP_AFTER_MS: '2000',
  BALANCE_REDIS_TIMEOUT_MS: '250',
  WRITER_GROUP_TIMEOUT_MS: '1500',
  WRITER_ATTEMPTS: '3',
  EXPIRY_INTERVAL_MS: '200',
  SETTLEMENT_JOB_LOCK_MS: '2000',
  // APIs come and go, so that the bank has nobody to call back.
  PAYOUT_ASK_SCHEDULE_S: '1',
  // A day is settled when it was asked for: by itself each would be, before its payments are told.
  SETTLEMENT_INTERVAL_MS: '3600000',
  IDEMPOTENCY_WAIT_MS: '1000',
  REQUEST_DEADLINE_MS: '3000',
  LOG_LEVEL: 'error',
};
const NEAR_A_FAULT_MS = 2_000;
const REPEATS = 100;
const SHOWN = 5;

/** Real processes under faults, recorded by their clients; then judged by the ledger. */
export async function runHistories(build: Build, options: RunOptions): Promise<Outcome> {
  const cache = await privateRedis();
  const bank = await SimulatedBank.start();
  const wires = await Promise.all([Wire.to(cache.url), Wire.to(cache.url)]);
  const env = {
    PATH: process.env.PATH,
    DATABASE_URL: options.ownerUrl,
    DATABASE_RUNTIME_URL: options.runtimeUrl,
    REDIS_URL: cache.url,
    REDIS_QUEUE_URL: options.redisQueueUrl,
    COUNTERFOIL_OPERATOR_KEY: OPERATOR_KEY,
    PORT: '0',
    CACHE_WRITE_POLICY: options.policy,
    ...bank.settings,
    ...SETTINGS,
  };
  const apis = wires.map(
    ({ url }, index) => new Service(`api-${index + 1}`, build, 'dist/apps/api/src/main.js', { ...env, REDIS_URL: url }),
  );
  const worker = new Service('worker', build, 'dist/apps/worker/src/main.js', env);
  const services = [...apis, worker];
  // A run that ends early must leave no process behind, a stopped one least of all.
  const killAll = () => {
    for (const service of services) service.killNow();
    for (const wire of wires) wire.end();
  };
  process.once('exit', killAll);
  try {
    await Promise.all(services.map((service) => service.start()));
    const tenants = await openTenants(apis[0]?.url as string);
    const history = emptyHistory();
    const clients = new Clients({ history, apis, tenants, seed: options.seed });
    const faults = new Faults({ apis, worker, cache, wires }, TTL_MS);
    const nights = new Nights({ history, clients, apis, operatorKey: OPERATOR_KEY, seed: options.seed });
    const traffic = Promise.all([clients.run({ mixed: CLIENTS, readers: options.readers }), nights.run(tenants)]);
    const harm = faults.run(new Dice(options.seed));
    await Promise.race([sleep(options.seconds * 1_000), harm, traffic]);
    faults.stop();
    await harm;
    await faults.recovered();
    clients.stop();
    nights.stop();
    await traffic;
    const unsettled = clients.unsettled;
    await clients.settle(REPEATS);
    const held = await untilEnded(options.ownerUrl);
    await clients.readAll();
    const quiet = await untilQuiet(cache.url, options.ownerUrl, TTL_MS, () => clients.readAll());
    const ledger = await readLedger(options.ownerUrl);
    const cut = options.policy === 'strict' ? [] : faults.cut;
    const verdict = check(history, ledger, { ttlMs: TTL_MS, l1MaxAgeMs: L1_MAX_AGE_MS, cut });
    const offences = [
      ...(clients.unsettled > 0 ? [`${clients.unsettled} requests were never answered`] : []),
      ...[...clients.counts.unexpected, ...nights.unexpected].slice(0, SHOWN),
      ...held,
      ...quiet,
      ...tellOf(history, [...verdict.stale, ...verdict.wrong]),
    ];
    const nearFaults = countNear(history, faults.done);
    const report = reportOf({ options, build, history, verdict, clients, faults, ledger, unsettled, nearFaults });
    return {
      report,
      offences,
      faults: faults.done,
      reads: history.reads.length,
      stale: verdict.stale.length,
      wrong: verdict.wrong.length + held.length,
      kinds: kindsOf(history, ledger),
      acknowledgements: history.acknowledgements.length,
      daysSettled: history.settled.length,
      payouts: history.payouts.length,
      fromCacheNearFaults: nearFaults,
      excused: tellOf(history, verdict.excused),
    };
  } finally {
    killAll();
    await Promise.all(services.map((service) => service.end('SIGKILL')));
    process.removeListener('exit', killAll);
    await Promise.all([cache.stop(), bank.end()]);
  }
}

async function openTenants(url: string): Promise<Tenant[]> {
  const post = async (path: string, key: string, body: object) => {
    const response = await fetch(url + path, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    // biome-ignore lint/suspicious/noExplicitAny: two shapes
    const answer = (await response.json()) as any;
    if (response.status !== 201) throw new Error(`${path}: ${JSON.stringify(answer)}`);
    return answer;
  };
  const rule = { applies_to: 'payment', currency: 'EUR', percent_bps: 290, fixed: '25' };
  const plan = await post('/v1/fee_plans', OPERATOR_KEY, { name: 'Nights', rules: [rule] });
  const tenants: Tenant[] = [];
  for (let number = 1; number <= TENANTS; number += 1) {
    const merchant = { name: `Tenant ${number}`, time_zone: 'UTC', settlement_cutoff: '00:00', currencies: ['EUR'] };
    const opened = await post('/v1/merchants', OPERATOR_KEY, { ...merchant, fee_plan_id: plan.id });
    const key: string = opened.api_key.secret;
    const accounts: Account[] = [];
    for (let count = 0; count < HOT + COLD; count += 1) {
      const code = `wallet:${count}`;
      const { id } = await post('/v1/accounts', key, { code, name: code, currency: 'EUR', normal_side: 'credit' });
      accounts.push({ id, code });
    }
    const found = await fetch(`${url}/v1/accounts?limit=100`, { headers: { authorization: `Bearer ${key}` } });
    const { data } = (await found.json()) as { data: Account[] };
    const named = (code: string) => data.filter((account) => account.code === code).map(({ id }) => ({ id, code }));
    tenants.push({
      merchant: opened.id,
      key,
      hot: [...accounts.slice(0, HOT), ...named('merchant_payable:EUR')],
      cold: accounts.slice(HOT),
      watched: [...named('fee_revenue:EUR'), ...named('payout_clearing:EUR')],
    });
  }
  return tenants;
}

function tellOf(history: History, violations: readonly Violation[]): string[] {
  return violations
    .slice(0, SHOWN)
    .flatMap(({ rule, account, at, text }) => [
      `${rule}: account ${account}: ${text}`,
      ...(account === undefined ? [] : storyOf(history, account, at).map((line) => `    ${line}`)),
    ]);
}

function kindsOf({ asked }: History, { entries }: Ledger): Map<string, number> {
  const kinds = entries.map(({ key, expiryOf, isAdjustment }) =>
    isAdjustment ? 'adjustment' : ((expiryOf === undefined ? asked.get(key)?.kind : 'expiry') ?? '?'),
  );
  return new Map([...Map.groupBy(kinds, (kind) => kind)].map(([kind, all]) => [kind, all.length / 2]));
}

function countNear(history: History, faults: readonly Fault[]): number {
  const isNear = (at: number) => faults.some(({ from, to }) => at >= from && at <= to + NEAR_A_FAULT_MS);
  return history.reads.filter(({ source, invokedAt }) => source === 'cache' && isNear(invokedAt)).length;
}

/** How long at least one of them lasts. */
function lengthOf(intervals: readonly Cut[]): number {
  let [sum, end] = [0, Number.NEGATIVE_INFINITY];
  for (const { from, to } of [...intervals].sort((left, right) => left.from - right.from)) {
    sum += Math.max(0, to - Math.max(from, end));
    end = Math.max(end, to);
  }
  return sum;
}

function reportOf(of: {
  options: RunOptions;
  history: History;
  verdict: Verdict;
  clients: Clients;
  build: Build;
  faults: Faults;
  ledger: Ledger;
  unsettled: number;
  nearFaults: number;
}): string {
  const { history, verdict, clients } = of;
  const { counts } = clients;
  const count = <T>(items: readonly T[], isOne: (item: T) => boolean) => items.filter(isOne).length;
  const list = (groups: Map<string | number, number>) =>
    [...groups].map(([name, number]) => `${name} ${number}`).join(', ') || 'none';
  const tally = (names: readonly string[]) =>
    list(new Map([...Map.groupBy(names, (name) => name)].map(([name, all]) => [name, all.length])));
  const { reads, acknowledgements, refusals, asked } = history;
  const { done, cut } = of.faults;
  const excused = [...Map.groupBy(verdict.excused, ({ cause }) => cause)].map(
    ([cause, all]) =>
      `${cause} ${all.length}, by ${Math.max(...all.map(({ behindMs }) => behindMs)).toFixed(0)} ms at most`,
  );
  return [
    `seed ${of.options.seed}, ${of.options.seconds} s, ${of.options.policy}${of.build.planted ? `, planted: ${of.build.planted}` : ''}`,
    `reads ${reads.length}: ${tally(reads.map(({ consistency }) => consistency))}; with min_version ${count(reads, (read) => read.minVersion > 0)}`,
    `served from: ${tally(reads.map(({ source }) => source))}; from the cache during a fault or within 2 s of it ${of.nearFaults}`,
    `asked for ${asked.size}: ${tally([...asked.values()].map(({ kind }) => kind))}; refused ${refusals.length}: ${tally(refusals.map(({ code }) => code))}`,
    `in the ledger ${of.ledger.entries.length / 2}: ${list(kindsOf(history, of.ledger))}; acknowledgements ${acknowledgements.length}, of which replays ${count(acknowledgements, (one) => one.replayed)}`,
    `requests ${counts.postingsSent}, retries ${counts.retries}, never answered before the end ${of.unsettled}, settled by their keys then ${of.unsettled - clients.unsettled}`,
    `timeouts ${counts.timeouts}, broken connections ${counts.brokenConnections}, reads without an answer ${counts.readsFailed}, refusals: ${list(counts.refusals)}`,
    `days settled ${history.settled.length}, payouts ${history.payouts.length}`,
    `faults ${done.length}: ${tally(done.map(({ kind }) => kind))}`,
    `one API without a Redis that the other reached, during ${(lengthOf(cut) / 1_000).toFixed(1)} s; excused with available (X2, less than ${TTL_MS} ms): ${excused.join('; ') || 'none'}`,
    `wrong ${verdict.wrong.length}, stale = ${verdict.stale.length}`,
  ].join('\n');
}
