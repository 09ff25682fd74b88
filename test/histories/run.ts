import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { verify } from '#platform/verify.js';
import { checksOf, ROOMS } from '../../apps/rooms.js';
import { Client } from '../payments/client.js';
import { judge as judgePayments } from '../payments/judge.js';
import { Teller } from '../payments/teller.js';
import { PaymentTraffic } from '../payments/traffic.js';
import { asAdmin } from '../support/database.js';
import { until } from '../support/until.js';
import { offendersOf } from '../support/verified.js';
import { type Book, readBooks } from './books.js';
import { check, type Ledger, storyOf, type Verdict, type Violation } from './check.js';
import { Clients, type Tenant } from './clients.js';
import { judgeDeploys } from './deploys.js';
import { Faults } from './faults.js';
import { Follower } from './followers.js';
import { Dice, emptyHistory, type History, now } from './history.js';
import { exchange, sent } from './http.js';
import { readLedger, untilEnded } from './ledger.js';
import { behind, type Judgement, judgeLog } from './log.js';
import { Nights } from './nights.js';
import { openPlan, openShops, openTenant, openTenants, poster } from './open.js';
import { untilQuiet } from './quiet.js';
import { type Build, cacheState } from './servers.js';
import type { Slot } from './slot.js';
import { L1_MAX_AGE_MS, OPERATOR_KEY, startWorld, TTL_MS, type World } from './world.js';

export const POLICIES = ['available', 'strict'] as const;
/** CACHE_WRITE_POLICY. */
export type Policy = (typeof POLICIES)[number];

export interface RunOptions {
  readonly seed: number;
  readonly policy: Policy;
  /** Clients that do nothing but read, without a pause. */
  readonly readers: number;
}

export interface Round {
  /** Of each seed. */
  readonly seconds: number;
  readonly seeds: readonly number[];
}

export interface Outcome {
  /** The history of what is wrong; empty when nothing is. */
  readonly offences: readonly string[];
  readonly verdict: Verdict;
  readonly ledger: Ledger;
  readonly books: readonly Book[];
  readonly events: number;
  readonly lives: number;
  /** Requests that were with an API that had been told to stop, all of which it answered. */
  readonly whileStopping: number;
  /** Unsettled when the faults were over; each was settled by its key then. */
  readonly unsettled: number;
  readonly healthyAfterMs: number;
  readonly appliedAfterMs: number;
}

const CLIENTS = 16;
const REPEATS = 100;
const SHOWN = 5;
const LOG_SHOWN = 1_500;
/** I8. */
const HEALTHY_WITHIN_MS = 15_000;
/** From the last fault until every consumer and follower has the whole log; a busy machine is slow. */
const APPLIED_WITHIN_MS = 90_000;

interface Parts {
  readonly history: History;
  readonly world: World;
  readonly tenants: readonly Tenant[];
  readonly clients: Clients;
  readonly nights: Nights;
  readonly followers: readonly Follower[];
  readonly teller: Teller;
  readonly payments: PaymentTraffic;
  readonly faults: Faults;
}

/** Real processes under faults, round by round: what clients saw is judged after each. */
export class Run {
  private constructor(
    readonly options: RunOptions,
    readonly build: Build,
    private readonly parts: Parts,
  ) {}

  get history(): History {
    return this.parts.history;
  }

  get world(): World {
    return this.parts.world;
  }

  get clients(): Clients {
    return this.parts.clients;
  }

  get followers(): readonly Follower[] {
    return this.parts.followers;
  }

  get faults(): Faults {
    return this.parts.faults;
  }

  static async start(build: Build, options: RunOptions): Promise<Run> {
    sent.length = 0;
    const world = await startWorld(build, options.policy);
    try {
      const { seed } = options;
      const { apis } = world;
      const client = new Client(apis, new Dice(seed));
      const post = poster(client);
      const plan = await openPlan(post);
      const [tenants, shops] = await Promise.all([openTenants(post, plan), openShops(post)]);
      world.late.merchant = tenants[0]?.merchant as string;
      const history = emptyHistory();
      const clients = new Clients({ history, apis, tenants, seed });
      let opened = tenants.length;
      const another = () => openTenant(post, plan, ++opened);
      const nights = new Nights({ history, clients, apis, operatorKey: OPERATOR_KEY, seed, another });
      const followers = tenants.map((tenant, number) => new Follower(tenant, apis, new Dice(seed + number)));
      for (const follower of followers) await follower.register(post);
      const teller = new Teller(client);
      const payments = new PaymentTraffic(teller, shops, seed);
      const faults = new Faults(world, () => clients.inFlight);
      const parts = { history, world, tenants, clients, nights, followers, teller, payments, faults };
      return new Run(options, build, parts);
    } catch (error) {
      await world.end();
      throw error;
    }
  }

  /** Also in the midst of a round that broke off: nobody works or does harm any more. */
  async end(): Promise<void> {
    const { clients, nights, payments, faults } = this.parts;
    for (const part of [clients, nights, payments, faults, ...this.followers]) part.stop();
    await Promise.all(this.followers.map((follower) => follower.close()));
    await this.world.end();
  }

  /** Work and harm for so long by each seed; then everything is mended, settled and judged: all of the run, up to here. */
  async round({ seconds, seeds }: Round): Promise<Outcome> {
    const { clients, followers, world } = this.parts;
    const following = Promise.all(followers.map((follower) => follower.run()));
    const before: string[] = [];
    let [healthyAfterMs, mendedAt] = [0, 0];
    for (const seed of seeds) {
      const harmed = await this.#harm(seconds, seed);
      before.push(...harmed.sick);
      mendedAt = harmed.mendedAt;
      healthyAfterMs = Math.max(healthyAfterMs, harmed.healthyAfterMs);
    }
    const { unsettled } = clients;
    await clients.settle(REPEATS);
    before.push(...(await untilEnded(world.on.ownerUrl)), ...(await this.#untilApplied()));
    const appliedAfterMs = now() - mendedAt;
    for (const follower of followers) follower.stop();
    await following;
    return { ...(await this.#judge(before)), unsettled, healthyAfterMs, appliedAfterMs };
  }

  async #harm(seconds: number, seed: number) {
    const { tenants, clients, nights, payments, faults } = this.parts;
    const working = Promise.all([
      clients.run({ mixed: CLIENTS, readers: this.options.readers, seed }),
      nights.run(tenants),
      payments.run(),
    ]);
    const harm = faults.run((hand) => new Dice(seed * 16 + hand));
    try {
      await Promise.race([sleep(seconds * 1_000), harm, working]);
    } finally {
      faults.stop();
    }
    await harm;
    const mendedAt = now();
    const sick = await this.#untilHealthy();
    const healthyAfterMs = now() - mendedAt;
    await faults.recovered();
    for (const part of [clients, nights, payments]) part.stop();
    await working;
    return { sick, mendedAt, healthyAfterMs };
  }

  /** I8: each API is ready, uses the cache, and reads from the database. Answers what is not. */
  async #untilHealthy(): Promise<string[]> {
    const [{ key, hot }] = this.parts.tenants as [Tenant];
    const path = `/v1/accounts/${hot[0]?.id}/balance?consistency=strong`;
    const asked = { headers: { authorization: `Bearer ${key}` }, body: undefined, patienceMs: 2_000 };
    const sick = async ({ name, url, log }: Slot): Promise<string[]> => {
      const cache = url && (await cacheState(url));
      const read = url && (await exchange(url + path, asked).catch((error) => ({ status: String(error), text: '' })));
      if (read && cache === 'ok' && read.status === 200) return [];
      return [`I8: ${name} at ${url}: cache ${cache}, read ${JSON.stringify(read)}; ${log.slice(-LOG_SHOWN)}`];
    };
    let left: string[] = [];
    const allWell = async (): Promise<boolean> => {
      left = (await Promise.all(this.world.apis.map(sick))).flat();
      return left.length === 0;
    };
    return until('every API is well', allWell, HEALTHY_WITHIN_MS).then(
      () => [],
      () => left,
    );
  }

  /** I6: consumers, followers and receivers of webhooks have the whole log. */
  async #untilApplied(): Promise<string[]> {
    return asAdmin(this.world.on.ownerUrl, async (owner) => {
      const missing = async (): Promise<string[]> => {
        const late = await behind(owner);
        if (late > 0) {
          const logs = this.world.workers.map(({ name, log }) => `${name}: ${log.slice(-LOG_SHOWN)}`);
          return [`${late} events were not applied; ${logs.join('\n')}`];
        }
        const lacking: string[] = [];
        for (const follower of this.followers) lacking.push(...(await follower.missing(owner)));
        return lacking;
      };
      const none = async (): Promise<boolean> => (await missing()).length === 0;
      return until('everybody has the log', none, APPLIED_WITHIN_MS).then(
        () => [],
        async () => (await missing()).map((what) => `I6: ${what}`),
      );
    });
  }

  /** What the service itself is writing at that moment, as when it settles a day, is applied first. */
  async #judgeLog(owner: pg.Client): Promise<Judgement> {
    const log = await judgeLog(owner);
    if (log.offences.length === 0) return log;
    await until('all is applied', async () => (await behind(owner)) === 0, APPLIED_WITHIN_MS).catch(() => undefined);
    return judgeLog(owner);
  }

  async #judge(before: readonly string[]) {
    const { clients, nights, followers, history, world, teller, faults, payments } = this.parts;
    const { on, cache } = world;
    await clients.readAll();
    const quiet = await untilQuiet(cache.url, on.ownerUrl, TTL_MS, () => clients.readAll());
    const ledger = await readLedger(on.ownerUrl);
    const cut = this.options.policy === 'strict' ? [] : faults.cut;
    const verdict = check(history, ledger, { ttlMs: TTL_MS, l1MaxAgeMs: L1_MAX_AGE_MS, cut });
    const deploys = judgeDeploys(
      sent,
      world.apis.flatMap(({ endings }) => endings),
    );
    const found = offendersOf(await verify(on.runtimeUrl, await checksOf(ROOMS)));
    const unexpected = [
      ...clients.counts.unexpected,
      ...nights.unexpected,
      ...teller.offences,
      ...followers.flatMap((follower) => follower.unexpected),
      ...faults.wrong,
    ];
    return asAdmin(on.ownerUrl, async (owner) => {
      const books = await readBooks(owner);
      const log = await this.#judgeLog(owner);
      const paid = await judgePayments(payments.ended, teller.client, owner);
      const offences = [
        ...before,
        ...(clients.unsettled > 0 ? [`${clients.unsettled} requests were never answered`] : []),
        ...unexpected.slice(0, SHOWN),
        ...broken(deploys.offences.length),
        ...deploys.offences
          .slice(0, SHOWN)
          .flatMap(({ at, text }) => [`deploys: ${text}`, ...faults.before(at).map((line) => `    ${line}`)]),
        ...[...world.apis, ...world.workers]
          .flatMap(({ deaths }) => deaths)
          .flatMap(({ at, text }) => [`I8: ${text}`, ...faults.before(at).map((line) => `    ${line}`)]),
        ...quiet.map((what) => `I5: ${what}`),
        ...tellOf(history, [...verdict.stale, ...verdict.wrong], faults),
        ...books.filter(({ wrong }) => wrong > 0).map(({ name, wrong }) => `${name}: ${wrong} are not`),
        ...(await nights.overdrawn(owner)),
        ...log.offences.map((what) => `I6: ${what}`),
        ...paid.slice(0, SHOWN),
        ...Object.entries(found).map(([name, rows]) => `verify: ${name}: ${rows}`),
      ];
      const instructions = Map.groupBy(await world.bank.all(), ({ reference }) => reference as string);
      const twice = [...instructions].filter(([, all]) => all.length > 1);
      offences.push(...twice.map(([payout, all]) => `I4: the bank was told of payout ${payout} ${all.length} times`));
      const lives = [...payments.ended.values()].reduce((sum, all) => sum + all.length, 0);
      return { offences, verdict, ledger, books, events: log.events, lives, whileStopping: deploys.answered };
    });
  }
}

const broken = (count: number): string[] =>
  count > SHOWN ? [`deploys: ${count} broke, of which these were the first`] : [];

function tellOf(history: History, violations: readonly Violation[], faults: Faults): string[] {
  return violations
    .slice(0, SHOWN)
    .flatMap(({ rule, account, at, text }) => [
      `${rule}: account ${account}: ${text}`,
      ...(account === undefined ? [] : storyOf(history, account, at).map((line) => `    ${line}`)),
      ...faults.before(at).map((line) => `    ${line}`),
    ]);
}
