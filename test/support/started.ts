import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { commandsOf, curlRequest } from './shell.js';
import { until } from './until.js';

export const ROOT = join(import.meta.dirname, '../..');
/** It compiles everything, starts two servers and three processes, and has two cores with others beside it. */
export const READY_WITHIN_MS = 120_000;

/** Of somebody who has set nothing but where the data lies. */
export function environment(dataDir: string): NodeJS.ProcessEnv {
  const ours = /^(DATABASE_|REDIS_|COUNTERFOIL_|PORT$|HOST$)/;
  const kept = Object.entries(process.env).filter(([name]) => !ours.test(name));
  return { ...Object.fromEntries(kept), COUNTERFOIL_DATA_DIR: dataDir };
}

/** What `npm start` runs, without its launcher (a kill is to hit the supervisor), in a data folder of the test's own. */
export class Started {
  output = '';
  /** The variables that it printed with them. */
  readonly exported: Record<string, string> = {};
  readonly process: ChildProcess;

  constructor(dataDir: string, port: number, more: NodeJS.ProcessEnv = {}) {
    this.process = spawn(process.execPath, [join(ROOT, 'scripts/start.mjs')], {
      cwd: ROOT,
      env: { ...environment(dataDir), PORT: String(port), ...more },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream?.on('data', (chunk) => {
        this.output += chunk;
      });
    }
  }

  /** The `curl` lines that it printed, as requests. */
  async curls(): Promise<{ url: string; init: RequestInit }[]> {
    await until(
      'npm start is ready',
      () => {
        if (this.process.exitCode !== null) throw new Error(`npm start ended:\n${this.output}`);
        return this.output.includes('Ctrl-C stops everything');
      },
      READY_WITHIN_MS,
    );
    const text = this.output.slice(this.output.indexOf('  export URL='), this.output.indexOf('counterfoil: Ctrl-C'));
    return [...commandsOf(text, this.exported, () => undefined)].map((words) => {
      const { method, url, headers, body } = curlRequest(words);
      return { url, init: { method, headers, ...(body !== undefined && { body }) } };
    });
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    if (this.process.exitCode !== null) return this.process.exitCode;
    const ended = once(this.process, 'exit');
    this.process.kill(signal);
    await ended;
    return this.process.exitCode;
  }
}
