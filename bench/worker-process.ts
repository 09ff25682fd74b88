import { existsSync } from 'node:fs';
import { Child } from '../scripts/services/child.mjs';
import { childrenOf, cpuOfMs, peakMemoryOf } from './cpu.js';

const READY_WITHIN_MS = 60_000;

/** A compiled worker, and the processes of its consumers. */
export class WorkerProcess {
  readonly #child: Child;

  private constructor(child: Child) {
    this.#child = child;
  }

  static async start(file: string, env: NodeJS.ProcessEnv): Promise<WorkerProcess> {
    if (!existsSync(file)) throw new Error(`${file} does not exist; build the worker first`);
    const child = Child.node('the worker', [file], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: { ...process.env, LOG_LEVEL: 'error', ...env },
    });
    await child.firstWord(READY_WITHIN_MS);
    return new WorkerProcess(child);
  }

  /** CPU milliseconds so far: of the worker, and of its consumers' processes that live. */
  cpuMs(): { worker: number; consumers: number } {
    const pid = this.#child.process.pid as number;
    return {
      worker: cpuOfMs(pid) ?? Number.NaN,
      consumers: childrenOf(pid).reduce((sum, child) => sum + (cpuOfMs(child) ?? 0), 0),
    };
  }

  /** Bytes; of the worker itself. */
  peakMemory(): number {
    return peakMemoryOf(this.#child.process.pid as number) ?? Number.NaN;
  }

  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    await this.#child.end(signal);
  }
}
