import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { PrivateRedis } from '../support/redis.js';
import { type Cut, type Dice, type Interval, now } from './history.js';
import { cacheState, type Service } from './servers.js';
import type { Wire } from './wire.js';

export interface Fault extends Interval {
  readonly kind: string;
}

export interface Fleet {
  readonly apis: readonly Service[];
  readonly worker: Service;
  readonly cache: PrivateRedis;
  /** Between each API and the cache, in the order of `apis`. */
  readonly wires: readonly Wire[];
}

/** Longer than REQUEST_DEADLINE_MS, the TTL, and the age from which a fence is swept. */
const PAUSE_MS = { low: 3_300, high: 4_800 };
const PROCESS_GAP_MS = { low: 200, high: 900 };
const CACHE_GAP_MS = { low: 800, high: 2_500 };
const STORM_MS = { low: 1_500, high: 3_000 };
/** Shorter and longer than the TTL. */
const CUT_MS = { low: 300, high: 3_000 };
const NOISE_KEYS = 4_000;
const NOISE = 'x'.repeat(400);
const WATCH_MS = 50;
const ROLE_MAXMEMORY = '128mb';

/** Two hands that do harm at once: one to the processes, one to the cache. */
export class Faults {
  readonly done: Fault[] = [];
  /** When an API may have been cut off from a Redis that the other one reached. */
  readonly cut: Cut[] = [];
  readonly #fleet: Fleet;
  readonly #ttlMs: number;
  readonly #watching: Promise<void>[] = [];
  #stopped = false;

  constructor(fleet: Fleet, ttlMs: number) {
    this.#fleet = fleet;
    this.#ttlMs = ttlMs;
  }

  /** Until `stop`; then everything runs again. */
  async run(dice: Dice): Promise<void> {
    const [first, second] = this.#fleet.apis as [Service, Service];
    const { worker } = this.#fleet;
    const onProcesses: [string, () => Promise<void>][] = [
      ['SIGKILL of an API', () => this.#kill(first)],
      ['SIGKILL of an API', () => this.#kill(second)],
      ['SIGSTOP of an API', () => this.#pause(first, dice)],
      ['SIGSTOP of an API', () => this.#pause(second, dice)],
      ['SIGKILL of the worker', () => this.#kill(worker)],
      ['SIGSTOP of the worker', () => this.#pause(worker, dice)],
    ];
    const onCache: [string, () => Promise<void>][] = [
      ['FLUSHALL', () => this.#withAdmin((admin) => admin.flushall())],
      ['FLUSHALL', () => this.#withAdmin((admin) => admin.flushall())],
      ['maxmemory storm', () => this.#storm(dice)],
      ['maxmemory storm', () => this.#storm(dice)],
      ['SIGKILL of Redis', () => this.#whileCut('Redis gone', this.#fleet.apis, () => this.#fleet.cache.crash())],
      ['SIGSTOP of Redis', () => this.#whileCut('Redis gone', this.#fleet.apis, () => this.#freeze(dice))],
      ['an API cut off from Redis', () => this.#cutOff(dice, 'refuse', 'accept')],
      ['silence between an API and Redis', () => this.#cutOff(dice, 'stall', 'resume')],
    ];
    await Promise.all([this.#hand(dice, onProcesses, PROCESS_GAP_MS), this.#hand(dice, onCache, CACHE_GAP_MS)]);
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Every kind comes before one comes twice. */
  async #hand(
    dice: Dice,
    kinds: readonly [string, () => Promise<void>][],
    gap: { low: number; high: number },
  ): Promise<void> {
    while (!this.#stopped) {
      for (const [kind, strike] of dice.shuffled(kinds)) {
        await sleep(dice.between(gap.low, gap.high));
        if (this.#stopped) return;
        const from = now();
        await strike();
        this.done.push({ kind, from, to: now() });
      }
    }
  }

  async #kill(service: Service): Promise<void> {
    await service.crash();
    await service.start();
  }

  async #pause(service: Service, dice: Dice): Promise<void> {
    service.pause();
    await sleep(dice.between(PAUSE_MS.low, PAUSE_MS.high));
    service.resume();
  }

  async #freeze(dice: Dice): Promise<void> {
    this.#fleet.cache.signal('SIGSTOP');
    await sleep(dice.between(200, 2_500));
    this.#fleet.cache.signal('SIGCONT');
  }

  /** One API alone; the other and the worker reach Redis all the while. */
  async #cutOff(dice: Dice, cut: 'refuse' | 'stall', mend: 'accept' | 'resume'): Promise<void> {
    const index = dice.below(this.#fleet.apis.length);
    const [api, wire] = [this.#fleet.apis[index] as Service, this.#fleet.wires[index] as Wire];
    await this.#whileCut('an API cut off', [api], async () => {
      await wire[cut]();
      await sleep(dice.between(CUT_MS.low, CUT_MS.high));
      await wire[mend]();
    });
  }

  /** These APIs lose and find Redis one by one. */
  async #whileCut(cause: string, apis: readonly Service[], fault: () => Promise<void>): Promise<void> {
    const from = now();
    const over = fault();
    this.#watching.push(...apis.map((api) => this.#watch(api, { cause, from, over })));
    await over;
  }

  /**
   * X2 holds from the fault until the API uses Redis again, and for one TTL more: what it told nobody has expired then. An
   * API that is paused or dead writes and reads nothing meanwhile.
   */
  async #watch(
    api: Service,
    { cause, from, over }: { cause: string; from: number; over: Promise<void> },
  ): Promise<void> {
    let open: { from: number; to: number; cause: string } | undefined;
    const close = () => {
      if (open) open.to = now() + this.#ttlMs;
      open = undefined;
    };
    const isOver = over.then(
      () => true,
      () => true,
    );
    for (let [times, since] = [0, from]; times < 2; since = now()) {
      if (api.paused || api.url === undefined) {
        close();
      } else {
        if (!open) {
          open = { from: since, to: Number.POSITIVE_INFINITY, cause };
          this.cut.push(open);
        }
        const ended = await Promise.race([isOver, sleep(0, false)]);
        const isBack = ended && (await cacheState(api.url)) === 'ok';
        times = isBack && !api.paused ? times + 1 : 0;
      }
      await sleep(WATCH_MS);
    }
    close();
  }

  /** Resolves when every API uses Redis again. */
  async recovered(): Promise<void> {
    await Promise.all(this.#watching);
  }

  /** Little memory and much noise: some balances are evicted, some fences refused. */
  async #storm(dice: Dice): Promise<void> {
    await this.#withAdmin(async (admin) => {
      const used = Number(/used_memory:(\d+)/.exec(await admin.info('memory'))?.[1]);
      await admin.config('SET', 'maxmemory', String(used + 300_000));
      const end = now() + dice.between(STORM_MS.low, STORM_MS.high);
      for (let round = 0; now() < end; round += 1) {
        // In turns: noise that can be evicted, and noise that cannot.
        const lasting = round % 8 >= 4;
        const pipeline = admin.pipeline();
        for (let count = 0; count < 100; count += 1) {
          const key = `noise:${lasting ? 'stays' : 'goes'}:${dice.below(NOISE_KEYS)}`;
          if (lasting) pipeline.set(key, NOISE);
          else pipeline.set(key, NOISE, 'PX', 60_000);
        }
        await pipeline.exec();
        if (round % 8 === 7) {
          await sleep(dice.between(20, 150));
          await this.#clearNoise(admin);
        }
        await sleep(5);
      }
      await admin.config('SET', 'maxmemory', ROLE_MAXMEMORY);
      await this.#clearNoise(admin);
    });
  }

  async #clearNoise(admin: Redis): Promise<void> {
    for await (const keys of admin.scanStream({ match: 'noise:*', count: 1_000 })) {
      if (keys.length > 0) await admin.unlink(...keys);
    }
  }

  async #withAdmin(work: (admin: Redis) => Promise<unknown>): Promise<void> {
    const admin = new Redis(this.#fleet.cache.url);
    try {
      await work(admin);
    } finally {
      admin.disconnect();
    }
  }
}
