import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { Dice } from '../histories/history.js';
import { asAdmin, type TestDatabase } from '../support/database.js';
import type { PrivateRedis } from '../support/redis.js';
import type { WorkerSlot } from './fleet.js';
import type { LateWriter } from './writers.js';

export interface Prey {
  readonly workers: readonly WorkerSlot[];
  readonly queue: PrivateRedis;
  readonly cache: PrivateRedis;
  readonly on: TestDatabase;
  readonly late: LateWriter;
  /** Transactions so far. */
  readonly posted: () => number;
}

/** Longer than the job lock, the relay's lease and a consumer's claim. */
const PAUSE_MS = { low: 3_300, high: 4_500 };
/** A consumer's process wakes up before the worker above it. */
const FIRST_AWAKE_MS = 300;
const GAP_MS = { low: 200, high: 900 };
const OOM_MS = { low: 1_000, high: 2_500 };
const STORM_MS = { low: 1_500, high: 3_000 };
const STORM_EVERY_MS = 40;
const ROLE_MAXMEMORY = '512mb';

/** Connections of workers and their consumers; the API's are left alone. */
const END_BACKENDS = `
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND (application_name LIKE 'counterfoil-worker%' OR application_name = ANY ($1))`;
const CONSUMERS = ['counterfoil-daily_summaries', 'counterfoil-recorder', 'counterfoil-webhooks'];

/** Three hands that do harm at once: to the workers, to the servers, and by a transaction that is held open. */
export class CampaignFaults {
  readonly done: string[] = [];
  readonly #prey: Prey;
  readonly #holdMs: number;
  #stopped = false;

  constructor(prey: Prey, holdMs: number) {
    this.#prey = prey;
    this.#holdMs = holdMs;
  }

  /** Until `stop`; then everything runs again. */
  async run(dice: Dice): Promise<void> {
    const { workers, queue, cache, on } = this.#prey;
    const onWorkers = workers.flatMap((worker): [string, () => Promise<unknown>][] => [
      ['SIGKILL of a worker', () => worker.crash()],
      ['SIGSTOP of a worker', () => this.#pause(worker, [], dice)],
      ['SIGSTOP of a worker and its consumers', () => this.#pause(worker, worker.children, dice)],
      ['SIGKILL of consumers', async () => signal(worker.children, 'SIGKILL')],
      ['SIGSTOP of consumers', () => this.#pauseConsumers(worker, dice)],
    ]);
    const onServers: [string, () => Promise<unknown>][] = [
      ['queue Redis killed, empty again', () => queue.crash()],
      ['queue Redis killed, empty again', () => queue.crash()],
      ['queue Redis out of memory', () => this.#fill(dice)],
      ['cache Redis killed, empty again', () => cache.crash()],
      [
        'connections to PostgreSQL ended',
        () => asAdmin(on.ownerUrl, (owner) => owner.query(END_BACKENDS, [CONSUMERS])),
      ],
      ['connections to PostgreSQL ended again and again', () => this.#storm(dice)],
    ];
    await Promise.all([this.#hand(dice, onWorkers), this.#hand(dice, onServers), this.#hold()]);
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Every kind comes before one comes twice. */
  async #hand(dice: Dice, kinds: readonly [string, () => Promise<unknown>][]): Promise<void> {
    while (!this.#stopped) {
      for (const [kind, strike] of dice.shuffled(kinds)) {
        await sleep(dice.between(GAP_MS.low, GAP_MS.high));
        if (this.#stopped) return;
        await strike();
        this.done.push(kind);
      }
    }
  }

  async #hold(): Promise<void> {
    while (!this.#stopped) {
      await this.#prey.late.postLate(this.#holdMs, this.#prey.posted);
      this.done.push('a transaction committed late');
      await sleep(this.#holdMs);
    }
  }

  async #pause(worker: WorkerSlot, consumers: readonly number[], dice: Dice): Promise<void> {
    worker.pause();
    signal(consumers, 'SIGSTOP');
    await sleep(dice.between(PAUSE_MS.low, PAUSE_MS.high));
    signal(consumers, 'SIGCONT');
    if (consumers.length > 0) await sleep(FIRST_AWAKE_MS);
    worker.resume();
  }

  async #pauseConsumers(worker: WorkerSlot, dice: Dice): Promise<void> {
    const consumers = worker.children;
    signal(consumers, 'SIGSTOP');
    await sleep(dice.between(PAUSE_MS.low, PAUSE_MS.high));
    signal(consumers, 'SIGCONT');
  }

  async #fill(dice: Dice): Promise<void> {
    const admin = new Redis(this.#prey.queue.url);
    try {
      await admin.config('SET', 'maxmemory', '1');
      await sleep(dice.between(OOM_MS.low, OOM_MS.high));
      await admin.config('SET', 'maxmemory', ROLE_MAXMEMORY);
    } finally {
      admin.disconnect();
    }
  }

  async #storm(dice: Dice): Promise<void> {
    const end = performance.now() + dice.between(STORM_MS.low, STORM_MS.high);
    await asAdmin(this.#prey.on.ownerUrl, async (owner) => {
      while (performance.now() < end) {
        await owner.query(END_BACKENDS, [CONSUMERS]);
        await sleep(STORM_EVERY_MS);
      }
    });
  }
}

/** Processes that are gone already need nothing. */
function signal(pids: readonly number[], name: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, name);
    } catch {
      // Gone.
    }
  }
}
