import { type ChildProcess, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import type { ProcessData, Report } from './consumer-process.js';
import type { Done, Task, TaskRunner } from './task.js';

/** The process that a task ran in is gone; what it had in hand is rolled back by PostgreSQL. */
export class ProcessLost extends Error {
  override name = 'ProcessLost';

  /** `claimant`: as which the process had claimed its partition. */
  constructor(
    message: string,
    readonly claimant: string,
  ) {
    super(message);
  }
}

export interface ProcessOptions {
  /** Module that calls `serveConsumer`. */
  entry: URL;
  /** Node's options for it: tests run the sources. */
  execArgv?: string[];
  /** Its heap. A thread would share fate with the worker here: V8 may abort the whole process before it ends a thread. */
  memoryMb: number;
  /** A task that reports no progress for this long is ended together with its process. */
  silenceMs: number;
}

interface Child {
  process: ChildProcess;
  claimant: string;
  /** The end of what it has written to its stderr. */
  said: string;
}

/** A new process has its modules to load before it reports anything. */
const START_MS = 30_000;
const END_MS = 2_000;
const SAID_KEPT = 16_384;
const SAID_TOLD = 300;

/** A process for one consumer's handler, made when it is needed and replaced when it is lost. One task at a time. */
export class HandlerProcess implements TaskRunner {
  readonly #data: Omit<ProcessData, 'claimant'>;
  readonly #options: ProcessOptions;
  #child: Child | undefined;
  #last: Promise<unknown> = Promise.resolve();
  lost = 0;

  constructor(data: Omit<ProcessData, 'claimant'>, options: ProcessOptions) {
    this.#data = data;
    this.#options = options;
  }

  run(task: Task): Promise<Done> {
    const turn = this.#last.then(() => this.#run(task));
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  async close(): Promise<void> {
    await this.#last;
    const child = this.#child?.process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    const kill = setTimeout(() => child.kill('SIGKILL'), END_MS);
    child.disconnect();
    await ended;
    clearTimeout(kill);
  }

  #run(task: Task): Promise<Done> {
    const { silenceMs } = this.#options;
    this.#child ??= this.#start();
    const current = this.#child;
    const { process: child, claimant } = current;
    return new Promise((resolve, reject) => {
      let silence: NodeJS.Timeout;
      const settle = (how: () => void): void => {
        clearTimeout(silence);
        child.off('message', onMessage).off('error', onError).off('close', onClose);
        how();
      };
      const lose = (why: string): void => {
        this.lost += 1;
        this.#child = undefined;
        settle(() => reject(new ProcessLost(why, claimant)));
        child.kill('SIGKILL');
      };
      const watch = (limitMs = silenceMs): void => {
        clearTimeout(silence);
        silence = setTimeout(() => lose(`the handler did not return within ${limitMs} ms`), limitMs);
      };
      const onMessage = (report: Report): void => {
        if (report.kind === 'progress') watch();
        else if (report.kind === 'failed') settle(() => reject(new Error(report.error)));
        else settle(() => resolve(report));
      };
      const onError = (error: Error): void => lose(`the handler's process failed: ${error.message}`);
      // 'close', not 'exit': only then has everything been read that it said.
      const onClose = (code: number | null, signal: string | null): void =>
        lose(`the handler's process ended with ${signal ?? `code ${code}`}${lastWords(current.said)}`);
      child.on('message', onMessage).on('error', onError).on('close', onClose);
      watch(Math.max(silenceMs, START_MS));
      child.send(task, (error) => error && lose(`the handler's process cannot be reached: ${error.message}`));
    });
  }

  #start(): Child {
    const { entry, execArgv = [], memoryMb } = this.#options;
    const claimant = randomUUID();
    const child = fork(fileURLToPath(entry), {
      execArgv: [`--max-old-space-size=${memoryMb}`, ...execArgv],
      serialization: 'advanced',
      // V8 writes pages when it runs out of memory. They are of use to nobody but as the reason of a dead letter.
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    });
    const started: Child = { process: child, claimant, said: '' };
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      started.said = (started.said + chunk).slice(-SAID_KEPT);
    });
    // Between tasks: the next one gets a new process.
    child.on('error', () => undefined);
    child.once('exit', () => {
      if (this.#child?.process === child) this.#child = undefined;
    });
    child.send({ ...this.#data, claimant } satisfies ProcessData);
    return started;
  }
}

/** Of what a process wrote before it ended, the line that says why. */
function lastWords(said: string): string {
  const lines = said.split('\n').filter((line) => line.trim() !== '');
  const why = lines.find((line) => /^(FATAL ERROR|\w*Error)\b/.test(line)) ?? lines.at(-1);
  return why === undefined ? '' : `: ${why.trim().slice(0, SAID_TOLD)}`;
}
