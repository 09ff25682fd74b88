import { randomUUID } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import type { Report, Task, ThreadData } from './consumer-thread.js';

/** The thread that a task ran in is gone; what it had in hand is rolled back by PostgreSQL. */
export class ThreadLost extends Error {
  override name = 'ThreadLost';

  /** `claimant`: as which the thread had claimed its partition. */
  constructor(
    message: string,
    readonly claimant: string,
  ) {
    super(message);
  }
}

interface Thread {
  worker: Worker;
  claimant: string;
}

export interface ThreadOptions {
  /** Module that calls `serveConsumer`. */
  entry: URL;
  /** Of the process, for the thread: how sources are resolved. */
  execArgv?: string[];
  /** Heap of the thread. */
  memoryMb: number;
  /** A task that reports no progress for this long is ended together with its thread. */
  silenceMs: number;
}

const START_MS = 30_000;

/** A thread for one consumer's handler, made when it is needed and replaced when it is lost. One task at a time. */
export class HandlerThread {
  readonly #data: Omit<ThreadData, 'claimant'>;
  readonly #options: ThreadOptions;
  #thread: Thread | undefined;
  #last: Promise<unknown> = Promise.resolve();
  lost = 0;

  constructor(data: Omit<ThreadData, 'claimant'>, options: ThreadOptions) {
    this.#data = data;
    this.#options = options;
  }

  /** Rejects with what the handler threw, or with ThreadLost. */
  run(task: Task): Promise<Report> {
    const turn = this.#last.then(() => this.#run(task));
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  async close(): Promise<void> {
    await this.#last;
    await this.#thread?.worker.terminate();
  }

  #run(task: Task): Promise<Report> {
    const { silenceMs } = this.#options;
    this.#thread ??= this.#start();
    const { worker, claimant } = this.#thread;
    return new Promise((resolve, reject) => {
      let silence: NodeJS.Timeout;
      const settle = (how: () => void): void => {
        clearTimeout(silence);
        worker.off('message', onMessage).off('error', onError).off('exit', onExit);
        how();
      };
      const lose = (why: string): void => {
        this.lost += 1;
        this.#thread = undefined;
        settle(() => reject(new ThreadLost(why, claimant)));
        void worker.terminate();
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
      const onError = (error: Error): void => lose(`the handler's thread failed: ${error.message}`);
      const onExit = (code: number): void => lose(`the handler ended its thread with code ${code}`);
      worker.on('message', onMessage).on('error', onError).on('exit', onExit);
      // A new thread has its modules to load before it reports anything.
      watch(Math.max(silenceMs, START_MS));
      worker.postMessage(task);
    });
  }

  #start(): Thread {
    const claimant = randomUUID();
    const { entry, execArgv, memoryMb } = this.#options;
    const worker = new Worker(entry, {
      workerData: { ...this.#data, claimant } satisfies ThreadData,
      resourceLimits: { maxOldGenerationSizeMb: memoryMb },
      ...(execArgv && { execArgv }),
    });
    // Between tasks: the next one gets a new thread.
    worker.on('error', () => undefined);
    worker.once('exit', () => {
      if (this.#thread?.worker === worker) this.#thread = undefined;
    });
    // An idle thread keeps no process alive.
    worker.unref();
    return { worker, claimant };
  }
}
