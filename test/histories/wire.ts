import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/** What lies between one API and the cache: it can be cut while others reach the same Redis. */
export class Wire {
  readonly #child: ChildProcess;
  readonly url: string;

  private constructor(child: ChildProcess, url: string) {
    this.#child = child;
    this.url = url;
  }

  static async to(redisUrl: string): Promise<Wire> {
    const child = fork(join(import.meta.dirname, 'wire-process.ts'), [redisUrl], { execArgv: [] });
    const [url] = await once(child, 'message');
    return new Wire(child, url);
  }

  /** Its connections are reset, and new ones too, until `accept`. */
  refuse(): Promise<void> {
    return this.#do('refuse');
  }

  accept(): Promise<void> {
    return this.#do('accept');
  }

  /** Nothing goes through, and nothing says so, until `resume`: then everything arrives after all. */
  stall(): Promise<void> {
    return this.#do('stall');
  }

  resume(): Promise<void> {
    return this.#do('resume');
  }

  end(): void {
    this.#child.kill('SIGKILL');
  }

  async #do(command: string): Promise<void> {
    const done = once(this.#child, 'message');
    this.#child.send(command);
    await done;
  }
}
