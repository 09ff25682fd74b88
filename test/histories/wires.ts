import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/** What a wire is told. */
export interface Command {
  /**
   * `refuse`: its connections are reset, and new ones too, until `accept`. `stall`: nothing goes through, and nothing says so, until
   * `resume`: then everything arrives after all. `halfOpen`: that, of the connections that there are, until `endSilent` cuts
   * them. `slow` until `quick`. `lose`: what befalls the next COMMITs, until `forget`.
   */
  readonly what:
    | 'refuse'
    | 'accept'
    | 'stall'
    | 'resume'
    | 'halfOpen'
    | 'endSilent'
    | 'slow'
    | 'quick'
    | 'lose'
    | 'forget';
  readonly lagMs?: number;
  readonly jitterMs?: number;
  readonly bytesPerSecond?: number;
  readonly loss?: 'lost' | 'unanswered' | 'late';
  readonly times?: number;
}

export interface Done {
  /** COMMITs that something befell so far. */
  readonly befallen: number;
}

/** What lies between one process and one server: it can be cut while others reach the same server. */
export interface Wire {
  readonly url: string;
  tell(command: Command): Promise<void>;
}

/** All wires of a run. */
export class Wires {
  readonly #child: ChildProcess;
  readonly all: readonly Wire[];
  /** One command at a time: each is answered. */
  #turn: Promise<unknown> = Promise.resolve();
  /** COMMITs that something befell so far. */
  commitsBefallen = 0;

  private constructor(child: ChildProcess, urls: readonly string[]) {
    this.#child = child;
    this.all = urls.map((url, wire) => ({ url, tell: (command) => this.#tell({ wire, ...command }) }));
  }

  static async to(urls: readonly string[]): Promise<Wires> {
    const child = fork(join(import.meta.dirname, 'wire-process.ts'), [...urls], { execArgv: [] });
    const [own] = await once(child, 'message');
    return new Wires(child, own);
  }

  end(): void {
    this.#child.kill('SIGKILL');
  }

  #tell(command: Command & { wire: number }): Promise<void> {
    const told = this.#turn.then(async () => {
      const done = once(this.#child, 'message');
      this.#child.send(command);
      const [{ befallen }] = (await done) as [Done];
      this.commitsBefallen = befallen;
    });
    this.#turn = told;
    return told;
  }
}
