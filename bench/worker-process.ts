import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { childrenOf, cpuOfMs } from './cpu.js';

const READY_WITHIN_MS = 60_000;

/** A compiled worker, and the processes of its consumers. */
export class WorkerProcess {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async start(file: string, env: NodeJS.ProcessEnv): Promise<WorkerProcess> {
    if (!existsSync(file)) throw new Error(`${file} does not exist; build the worker first`);
    const child = fork(file, {
      execArgv: ['--enable-source-maps'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: { ...process.env, LOG_LEVEL: 'error', ...env },
    });
    const ended = once(child, 'exit').then(([code]) => {
      throw new Error(`the worker ended with ${code}`);
    });
    // It will end one day.
    ended.catch(() => undefined);
    const ready = once(child, 'message', { signal: AbortSignal.timeout(READY_WITHIN_MS) });
    await Promise.race([ready, ended]);
    return new WorkerProcess(child);
  }

  /** CPU milliseconds so far: of the worker, and of its consumers' processes that live. */
  cpuMs(): { worker: number; consumers: number } {
    const pid = this.#child.pid as number;
    return {
      worker: cpuOfMs(pid) ?? Number.NaN,
      consumers: childrenOf(pid).reduce((sum, child) => sum + (cpuOfMs(child) ?? 0), 0),
    };
  }

  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill(signal);
    await ended;
  }
}
