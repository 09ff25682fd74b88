import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../scripts/ports.mjs';
import { Dice } from './histories/history.js';
import { type Answer, type Merchant, TestApi, transfer } from './support/api.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { readingOf } from './support/metrics.js';
import { type PrivateRedis, privateRedis } from './support/redis.js';
import { SEED } from './support/seed.js';
import { until } from './support/until.js';
import { expectVerified } from './support/verified.js';

/** I8: how long after the fault everything may take to be as before. */
const HEALTHY_WITHIN_MS = 15_000;
const CLIENTS = 8;
const WRITES = 0.4;
/** Answers of each kind that a phase must have seen. */
const ENOUGH = 40;
const ACCOUNTS = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => `wallet:${name}`);

let on: TestDatabase;
let redis: PrivateRedis;
let api: TestApi;
let shop: Merchant;

beforeAll(async () => {
  [on, redis] = await Promise.all([freshDatabase(), privateRedis()]);
  api = await TestApi.start({ on, environment: { REDIS_URL: redis.url, METRICS_PORT: String(await freePort()) } });
  shop = await api.merchant('EUR');
  for (const code of ACCOUNTS) await shop.open(code);
});
afterAll(async () => {
  await api.stop();
  await redis.stop();
  await on.drop();
});

interface Phase {
  postings: number;
  reads: number;
  cached: number;
}

/** Clients that post and read, each waiting for its answer, from construction until `stop`. */
class Load {
  /** Transaction ids by key. */
  readonly acknowledged = new Map<string, string>();
  /** The greatest version that an answer has told, by account id. */
  readonly #told = new Map<string, bigint>();
  readonly wrong: string[] = [];
  phase: Phase = { postings: 0, reads: 0, cached: 0 };
  /** When the first read from the cache was answered that had been sent after this. */
  #since = Number.POSITIVE_INFINITY;
  cachedAgainAt: number | undefined;
  #stopped = false;
  readonly #clients = Promise.all(
    Array.from({ length: CLIENTS }, (_, number) => this.#client(new Dice(SEED + number))),
  );

  /** What comes from now on is counted anew. Answers the phase before. */
  next(): Phase {
    const before = this.phase;
    this.phase = { postings: 0, reads: 0, cached: 0 };
    return before;
  }

  /** Waits until this phase has seen enough of each. */
  async enough(): Promise<void> {
    await until('the clients have made enough requests', () => {
      const { postings, reads } = this.phase;
      return this.wrong.length > 0 || (postings >= ENOUGH && reads >= ENOUGH);
    });
  }

  watchForCache(): void {
    this.#since = performance.now();
    this.cachedAgainAt = undefined;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#clients;
  }

  async #client(dice: Dice): Promise<void> {
    while (!this.#stopped) await (dice.next() < WRITES ? this.#post(dice) : this.#read(dice));
  }

  async #post(dice: Dice): Promise<void> {
    const from = dice.pick(ACCOUNTS);
    const to = dice.pick(ACCOUNTS.filter((code) => code !== from));
    const key = randomUUID();
    const answer = await shop.post(transfer(from, to, '1', { external_ref: key }), key);
    if (!this.#expect(answer, 201)) return;
    this.acknowledged.set(key, answer.body.id);
    this.phase.postings += 1;
    for (const entry of answer.body.entries) this.#learn(entry.account_id, BigInt(entry.account_version));
  }

  async #read(dice: Dice): Promise<void> {
    const account = shop.accounts[dice.pick(ACCOUNTS)] as string;
    const least = this.#told.get(account) ?? 0n;
    const sentAt = performance.now();
    const answer = await shop.client.get(`/v1/accounts/${account}/balance`);
    if (!this.#expect(answer, 200)) return;
    const { version, source } = answer.body;
    if (BigInt(version) < least) this.wrong.push(`version ${version} from ${source}, but ${least} had been told`);
    this.#learn(account, BigInt(version));
    this.phase.reads += 1;
    if (source !== 'cache') return;
    this.phase.cached += 1;
    if (sentAt > this.#since) this.cachedAgainAt ??= performance.now();
  }

  #expect(answer: Answer, status: number): boolean {
    if (answer.status === status) return true;
    this.wrong.push(`${answer.method} ${answer.path}: ${answer.status} ${answer.text}`);
    return false;
  }

  #learn(account: string, version: bigint): void {
    if (version > (this.#told.get(account) ?? 0n)) this.#told.set(account, version);
  }
}

async function state(): Promise<{ status: number; cache: string; metric(name: string): number | undefined }> {
  const ready = await api.client().get('/readyz');
  const text = await api.metrics();
  const metric = (name: string) => readingOf(text, `counterfoil_balance_${name}`);
  return { status: ready.status, cache: ready.body.checks.balance_cache, metric };
}

async function withAdmin(work: (admin: Redis) => Promise<unknown>): Promise<void> {
  const admin = new Redis(redis.url);
  try {
    await work(admin);
  } finally {
    admin.disconnect();
  }
}

interface Fault {
  name: string;
  /** Runs `meanwhile` under the fault; Redis can be reached and is well again when it resolves. */
  strike(meanwhile: () => Promise<void>): Promise<void>;
  /** What `/metrics` shows meanwhile. */
  shows(metric: (name: string) => number | undefined): boolean;
}

const FAULTS: readonly Fault[] = [
  {
    name: 'killed',
    strike: (meanwhile) => redis.crash(meanwhile),
    shows: (metric) => metric('connected') === 0 && metric('breaker{state="closed"}') === 0,
  },
  {
    name: 'stopped',
    strike: async (meanwhile) => {
      redis.signal('SIGSTOP');
      try {
        await meanwhile();
      } finally {
        redis.signal('SIGCONT');
      }
    },
    shows: (metric) =>
      metric('breaker{state="closed"}') === 0 && (metric('redis_errors_total{kind="timeouts"}') ?? 0) > 0,
  },
  {
    name: 'out of memory',
    strike: async (meanwhile) => {
      await withAdmin((admin) => admin.config('SET', 'maxmemory', '1'));
      try {
        await meanwhile();
      } finally {
        await withAdmin((admin) => admin.config('SET', 'maxmemory', '128mb'));
      }
    },
    shows: (metric) => metric('refusing') === 1 && (metric('redis_errors_total{kind="refusals"}') ?? 0) > 0,
  },
];

describe('Redis gone under load: no refusal, no lost write, no old balance, and it ends by itself', () => {
  test.each(FAULTS)('$name', async ({ name, strike, shows }) => {
    const load = new Load();
    try {
      await load.enough();
      await until('the cache is used', () => load.phase.cached > 0);
      const { metric } = await state();
      const unfenced = metric('unfenced_groups_total') ?? 0;
      await strike(async () => {
        await until('readyz and metrics show it', async () => {
          const { status, cache, metric } = await state();
          expect(status).toBe(200);
          return cache === 'degraded' && shows(metric);
        });
        load.next();
        await load.enough();
      });
      const during = load.next();
      load.watchForCache();
      const backAt = performance.now();
      let healthyAt = 0;
      await until(
        'everything is as before',
        async () => {
          const { cache, metric } = await state();
          if (cache === 'ok' && metric('breaker{state="closed"}') === 1 && metric('pending_invalidations') === 0)
            healthyAt ||= performance.now();
          return healthyAt > 0 && load.cachedAgainAt !== undefined;
        },
        HEALTHY_WITHIN_MS,
      );
      await load.enough();
      const after = load.next();
      expect((await state()).metric('unfenced_groups_total')).toBeGreaterThan(unfenced);
      process.stdout.write(
        `Redis ${name}: ${during.postings} postings and ${during.reads} reads meanwhile, all answered, ${during.cached} from the cache; ` +
          `reachable again → first answer from the cache ${((load.cachedAgainAt as number) - backAt).toFixed(0)} ms, ` +
          `→ breaker closed, nothing pending ${(healthyAt - backAt).toFixed(0)} ms; ${after.postings} postings and ${after.reads} reads after\n`,
      );
    } finally {
      await load.stop();
    }
    expect(load.wrong).toEqual([]);
    const found = await asAdmin(on.ownerUrl, async (owner) => {
      const refs = [...load.acknowledged.keys()];
      const { rows } = await owner.query(
        'SELECT external_ref AS key, id::text FROM transactions WHERE external_ref = ANY ($1)',
        [refs],
      );
      return rows;
    });
    expect(found.length).toBe(load.acknowledged.size);
    expect(new Map(found.map(({ key, id }) => [key, id]))).toEqual(load.acknowledged);
    await expectVerified(on);
  });
});
