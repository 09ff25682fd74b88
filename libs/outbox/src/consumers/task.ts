import type { Database } from '#platform/postgres.js';
import type { DecidedLetter } from '../dead-letters/dead-letter-store.js';
import { type CatchUp, Redriver } from '../dead-letters/redriver.js';
import { type ApartRun, type ApplierOptions, BatchApplier, type Run, type RunOutcome } from './batch-applier.js';
import type { Consumer } from './consumer.js';
import type { Reactions } from './reactions.js';

/** What is to be done for one consumer or reactor on one partition. */
export type Task =
  | { kind: 'run'; run: Run }
  | { kind: 'run apart'; run: ApartRun }
  | { kind: 'redrive'; letter: DecidedLetter }
  | { kind: 'catch up'; stream: CatchUp };

export type Done = { kind: 'ran'; outcome: RunOutcome } | { kind: 'ended' };

/** Where tasks are done: in a consumer's process, or in the worker's own. */
export interface TaskRunner {
  /** Rejects with what the handler threw, or with ProcessLost. */
  run(task: Task): Promise<Done>;
  /** Processes that their handler took along, or that had to be ended. */
  readonly lost: number;
  /** Resolves when the tasks in hand have ended. */
  close(): Promise<void>;
}

/** Does tasks as one claimant: of a partition one at a time. */
export class Tasks {
  readonly #applier: BatchApplier;
  readonly #redriver: Redriver;

  constructor(database: Database, consumer: Consumer | Reactions, claimant: string, options: ApplierOptions) {
    this.#applier = new BatchApplier(database, consumer, claimant, options);
    this.#redriver = new Redriver({ database, consumer, applier: this.#applier }, options);
  }

  async perform(task: Task, onProgress: () => void): Promise<Done> {
    if (task.kind === 'run') return { kind: 'ran', outcome: await this.#applier.run(task.run, onProgress) };
    if (task.kind === 'run apart') return { kind: 'ran', outcome: await this.#applier.runApart(task.run, onProgress) };
    if (task.kind === 'redrive') await this.#redriver.redrive(task.letter, onProgress);
    else await this.#redriver.catchUp(task.stream, onProgress);
    return { kind: 'ended' };
  }
}

/** Does tasks in this process, of several partitions at once. */
export class OwnProcess implements TaskRunner {
  readonly lost = 0;
  readonly #tasks: Tasks;
  /** The end of the last task of each partition. */
  readonly #last = new Map<number, Promise<unknown>>();

  constructor(tasks: Tasks) {
    this.#tasks = tasks;
  }

  run(task: Task): Promise<Done> {
    const partition = partitionOf(task);
    const before = this.#last.get(partition) ?? Promise.resolve();
    const turn = before.then(() => this.#tasks.perform(task, () => undefined));
    this.#last.set(
      partition,
      turn.catch(() => undefined),
    );
    return turn;
  }

  async close(): Promise<void> {
    await Promise.all(this.#last.values());
  }
}

function partitionOf(task: Task): number {
  if (task.kind === 'run' || task.kind === 'run apart') return task.run.partition;
  return task.kind === 'redrive' ? task.letter.partition : task.stream.partition;
}
