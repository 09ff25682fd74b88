import { setTimeout as sleep } from 'node:timers/promises';
import { childrenOf } from '../../bench/cpu.js';
import { freePort } from '../../scripts/ports.mjs';
import { type Build, Service } from '../histories/servers.js';
import { readingOf } from '../support/metrics.js';

const SAMPLE_MS = 300;
const START_TRIES = 3;
const SCRAPE_MS = 500;

/** Counters that say what a run hit, summed over consumers, workers and their restarts. */
const COUNTED = {
  jobs: 'counterfoil_consumer_jobs_total',
  'dispatched again': 'counterfoil_relay_resent_total',
  'hand-overs failed': 'counterfoil_relay_failures_total',
  'cursors fenced': 'counterfoil_relay_fenced_total',
  'tries failed': 'counterfoil_consumer_failures_total',
  'jobs put off': 'counterfoil_consumer_busy_total',
  'claims lost': 'counterfoil_consumer_claims_lost_total',
  'processes lost': 'counterfoil_consumer_processes_lost_total',
} as const;
export type Counted = keyof typeof COUNTED;
export const NAMES = Object.keys(COUNTED) as Counted[];

/** One worker process after the other, and what its consumers' processes are. */
export class WorkerSlot {
  readonly #name: string;
  readonly #build: Build;
  readonly #env: NodeJS.ProcessEnv;
  #service: Service | undefined;
  #port = 0;
  /** Of those that have ended. */
  readonly #past = new Map<Counted, number>();
  #now = new Map<Counted, number>();
  #stopped = false;
  #sampling: Promise<void> | undefined;

  constructor(name: string, build: Build, env: NodeJS.ProcessEnv) {
    this.#name = name;
    this.#build = build;
    this.#env = env;
  }

  async start(): Promise<void> {
    await this.#begin();
    this.#sampling = this.#sample();
  }

  /** Its consumers' processes that live. */
  get children(): number[] {
    const pid = this.#service?.pid;
    return pid === undefined ? [] : childrenOf(pid);
  }

  /** The last of what it logged. */
  get log(): string {
    return this.#service?.log ?? '';
  }

  count(of: Counted): number {
    return (this.#past.get(of) ?? 0) + (this.#now.get(of) ?? 0);
  }

  /** Killed, and replaced. */
  async crash(): Promise<void> {
    await this.#scrape();
    await this.#service?.crash();
    for (const name of NAMES) this.#past.set(name, this.count(name));
    this.#now = new Map();
    await this.#begin();
  }

  pause(): void {
    this.#service?.pause();
  }

  resume(): void {
    this.#service?.resume();
  }

  /** The counts are those of this moment. */
  async settle(): Promise<void> {
    this.#stopped = true;
    await this.#sampling;
    await this.#scrape();
  }

  async kill(): Promise<void> {
    this.#stopped = true;
    await this.#sampling;
    await this.#service?.end('SIGKILL');
  }

  killNow(): void {
    this.#service?.killNow();
  }

  /** A port that was free a moment ago may be somebody's outgoing connection now. */
  async #begin(): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      this.#port = await freePort();
      const env = { ...this.#env, METRICS_PORT: String(this.#port) };
      this.#service = new Service(this.#name, this.#build, 'dist/apps/worker/src/main.js', env);
      try {
        return await this.#service.start();
      } catch (error) {
        if (tries === START_TRIES) throw error;
      }
    }
  }

  async #sample(): Promise<void> {
    while (!this.#stopped) {
      await sleep(SAMPLE_MS);
      await this.#scrape();
    }
  }

  /** A worker that is stopped, dead or busy is asked again later. */
  async #scrape(): Promise<void> {
    const service = this.#service;
    try {
      const response = await fetch(`http://127.0.0.1:${this.#port}/metrics`, {
        signal: AbortSignal.timeout(SCRAPE_MS),
      });
      const text = await response.text();
      if (service !== this.#service) return;
      for (const name of NAMES) this.#now.set(name, sumOf(text, COUNTED[name]));
    } catch {
      // Not now.
    }
  }
}

/** A metric over all its labels. */
function sumOf(text: string, metric: string): number {
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${metric}{`))
    .reduce((sum, line) => sum + (readingOf(line, line.slice(0, line.lastIndexOf(' '))) ?? 0), 0);
}
