import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { childrenOf } from '../../bench/cpu.js';
import { freePort } from '../../scripts/ports.mjs';
import { readingOf } from '../support/metrics.js';
import { type Ending, NOTICED_MS } from './deploys.js';
import { now } from './history.js';
import { type Build, Service } from './servers.js';

const SAMPLE_MS = 500;
const START_TRIES = 8;
const SCRAPE_MS = 500;

/** Counters that say what a run hit, summed over all processes and their restarts. */
const COUNTED = {
  jobs: 'counterfoil_consumer_jobs_total',
  'dispatched again': 'counterfoil_relay_resent_total',
  'hand-overs failed': 'counterfoil_relay_failures_total',
  'cursors fenced': 'counterfoil_relay_fenced_total',
  'tries failed': 'counterfoil_consumer_failures_total',
  'jobs put off': 'counterfoil_consumer_busy_total',
  'claims lost': 'counterfoil_consumer_claims_lost_total',
  'processes lost': 'counterfoil_consumer_processes_lost_total',
  'groups without a fence': 'counterfoil_balance_unfenced_groups_total',
  'calls of Redis that failed': 'counterfoil_balance_redis_errors_total',
} as const;
export type Counted = keyof typeof COUNTED;
export const NAMES = Object.keys(COUNTED) as Counted[];

export type Part = 'api' | 'worker';

export interface Death {
  readonly at: number;
  readonly text: string;
}

/** One process after the other in the place of one API or worker. */
export class Slot {
  readonly name: string;
  /** Of the API's processes so far. */
  readonly endings: Ending[] = [];
  /** Those that ended and nobody had ended them, though they had been ready. */
  readonly deaths: Death[] = [];
  readonly #part: Part;
  readonly #build: Build;
  readonly #env: NodeJS.ProcessEnv;
  #service: Service | undefined;
  #port = 0;
  /** Of those that have ended. */
  readonly #past = new Map<Counted, number>();
  #now = new Map<Counted, number>();
  #stopped = false;
  #sampling: Promise<void> | undefined;

  constructor(part: Part, number: number, build: Build, env: NodeJS.ProcessEnv) {
    this.name = `${part}-${number}`;
    this.#part = part;
    this.#build = build;
    const harm = `--import ${join(import.meta.dirname, 'harm.mjs')}`;
    this.#env = { ...env, NODE_OPTIONS: harm, HARM_FILE: join(build.folder, `${this.name}.harm`) };
  }

  async start(): Promise<void> {
    await this.#begin();
    this.#sampling = this.#sample();
  }

  /** Where the API listens; undefined while it does not. */
  get url(): string | undefined {
    return this.#service?.url;
  }

  /** From its start until its end: also while it answers the last of what it has, and listens no more. */
  get lives(): boolean {
    return this.#service?.lives ?? false;
  }

  get paused(): boolean {
    return this.#service?.paused ?? false;
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

  /** Ended, and replaced. Answers what it ended with, how long that took, and the last of what it logged. */
  async replace(signal: 'SIGKILL' | 'SIGTERM'): Promise<{ code: number | null; forMs: number; log: string }> {
    await this.#scrape();
    const { url } = this;
    const from = now();
    const code = (await this.#service?.end(signal, signal === 'SIGTERM' && url ? NOTICED_MS : 0)) ?? null;
    const to = now();
    if (url !== undefined) this.endings.push({ name: this.name, url, signal, from, to });
    for (const name of NAMES) this.#past.set(name, this.count(name));
    this.#now = new Map();
    const { log } = this;
    await this.#begin();
    return { code, forMs: to - from, log };
  }

  pause(): void {
    this.#service?.pause();
  }

  resume(): void {
    this.#service?.resume();
  }

  /** See harm.mjs. */
  harm(what: { blockMs: number } | { clockMs: number }): void {
    const file = this.#env.HARM_FILE as string;
    // One that was busy reads it whenever it comes to it, and finds it whole.
    writeFileSync(`${file}.new`, JSON.stringify(what));
    renameSync(`${file}.new`, file);
    this.#service?.signal('SIGUSR2');
  }

  async kill(): Promise<void> {
    this.#stopped = true;
    await this.#sampling;
    await this.#service?.end('SIGKILL');
  }

  killNow(): void {
    this.#service?.killNow();
  }

  /**
   * A port that was free a moment ago may be somebody's outgoing connection now, and a process that finds no database ends: whoever
   * supervises it starts it again.
   */
  async #begin(): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      this.#port = await freePort();
      const env = { ...this.#env, METRICS_PORT: String(this.#port) };
      const service = new Service(this.name, this.#build, `dist/apps/${this.#part}/src/main.js`, env);
      this.#service = service;
      service.onDeath = (how) => this.deaths.push({ at: now(), text: `${this.name} ended (${how}): ${service.log}` });
      try {
        return await service.start();
      } catch (error) {
        await service.end('SIGKILL');
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

  /** One that is stopped, dead or busy is asked again later. */
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
    .filter((line) => line.startsWith(`${metric}{`) || line.startsWith(`${metric} `))
    .reduce((sum, line) => sum + (readingOf(line, line.slice(0, line.lastIndexOf(' '))) ?? 0), 0);
}
