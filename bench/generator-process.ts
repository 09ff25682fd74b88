import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import type { FromGenerator, LoadResult, ToGenerator } from './generator.js';
import type { BenchMerchant, Load } from './requests.js';

/** The load generator's process, as the harness sees it. One load at a time. */
export class Generator {
  readonly #child: ChildProcess;

  constructor() {
    this.#child = fork(join(import.meta.dirname, 'generator.js'), { execArgv: ['--enable-source-maps'] });
  }

  use(merchants: BenchMerchant[]): void {
    this.#child.send({ merchants } satisfies ToGenerator);
  }

  /** `on` is called as the measured time begins and ends. */
  run(load: Load, on: { measuring(): void; measured(): void }): Promise<LoadResult> {
    return new Promise((resolve, reject) => {
      const ended = (code: number | null): void => reject(new Error(`the load generator ended with ${code}`));
      const heard = (message: FromGenerator): void => {
        if (message.event === 'measuring' || message.event === 'measured') {
          on[message.event]();
          return;
        }
        this.#child.removeListener('message', heard);
        this.#child.removeListener('exit', ended);
        if (message.event === 'result') resolve(message.result);
        else reject(new Error(`the load generator failed: ${message.message}`));
      };
      this.#child.on('message', heard);
      this.#child.once('exit', ended);
      this.#child.send({ load } satisfies ToGenerator);
    });
  }

  stop(): void {
    this.#child.disconnect();
  }
}
