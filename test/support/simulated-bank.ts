import { join } from 'node:path';
import { newKey, secretOf } from '#platform/standard-webhooks.js';
import type { Fault } from '../../apps/bank-simulator/src/faults.js';
import { freePort } from '../../scripts/ports.mjs';
import { Child } from '../../scripts/services/child.mjs';
import { Client, type Json } from './api.js';

const ROOT = join(import.meta.dirname, '..', '..');
const MAIN = join(ROOT, 'apps/bank-simulator/src/main.ts');
const HOOK = new URL('./source-hook.mjs', import.meta.url).href;
const START_LIMIT_MS = 60_000;

/** The bank in a process of its own that can be killed; it comes back to the same port. */
export class SimulatedBank {
  #child: Child | undefined;

  private constructor(
    readonly secret: string,
    private readonly port: number,
    private readonly env: Record<string, string>,
  ) {}

  /** `env`: BANK_STATE, BANK_DELAY_MS and so on. */
  static async start(env: Record<string, string> = {}): Promise<SimulatedBank> {
    const bank = new SimulatedBank(secretOf(newKey()), await freePort(), env);
    await bank.start();
    return bank;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** What a service is given to pay with it. */
  get settings(): { BANK_URL: string; BANK_SECRET: string } {
    return { BANK_URL: this.url, BANK_SECRET: this.secret };
  }

  get client(): Client {
    return new Client(this.url, { authorization: `Bearer ${this.secret}` });
  }

  async start(env: Record<string, string> = {}): Promise<void> {
    const own = { ...this.env, ...env, PATH: process.env.PATH, BANK_SECRET: this.secret, BANK_PORT: String(this.port) };
    const args = ['--disable-warning=ExperimentalWarning', '--conditions=source', '--import', HOOK, MAIN];
    const stdio = ['ignore', 'inherit', 'inherit', 'ipc'] as ('ignore' | 'inherit' | 'ipc')[];
    this.#child = Child.node('the bank', args, { cwd: ROOT, env: own, stdio });
    await this.#child.firstWord(START_LIMIT_MS);
  }

  /** From now on it calls back there. */
  callBack(url: string): void {
    this.#child?.process.send({ callback: url });
  }

  /** Answers how it ended. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<string | undefined> {
    return this.#child?.end(signal);
  }

  async all(): Promise<Json[]> {
    return (await this.client.get('/instructions')).body.data;
  }

  /** What goes wrong from now on. */
  async fail(...faults: Partial<Fault>[]): Promise<void> {
    const { status, text } = await this.client.request('PUT', '/faults', { body: faults });
    if (status !== 200) throw new Error(text);
  }

  /** What requests were about that have been befallen by the first of what was asked for last; `by`: by another of them. */
  async befallen(by = 0): Promise<string[]> {
    return (await this.client.get('/faults')).body.data[by].befallen;
  }

  /** Nobody listens for so long. */
  async away(ms: number): Promise<void> {
    await this.client.request('PUT', '/away', { body: { ms } });
  }
}
