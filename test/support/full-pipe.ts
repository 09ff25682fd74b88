import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './until.js';

/** A pipe whose reader has stopped to read, full to the last byte. */
export class FullPipe {
  /** What a process may have as its stdout. */
  readonly writer: number;
  readonly #reader: number;
  readonly #folder = mkdtempSync(join(tmpdir(), 'counterfoil-pipe-'));
  /** Bytes that are there and nobody's. */
  #filling = 0;

  constructor() {
    const path = join(this.#folder, 'pipe');
    execFileSync('mkfifo', [path]);
    // A reader that does not wait can fill it, too.
    this.#reader = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    this.writer = openSync(path, 'w');
    for (const size of [4_096, 1]) this.#filling += untilBusy(() => writeSync(this.#reader, Buffer.alloc(size)));
  }

  /** What was written to it, once that is all. */
  async read(isAll: (text: string) => boolean): Promise<string> {
    let text = '';
    const chunk = Buffer.alloc(65_536);
    await until('all of it is there', () => {
      untilBusy(() => {
        const bytes = readSync(this.#reader, chunk);
        const filling = Math.min(bytes, this.#filling);
        this.#filling -= filling;
        text += chunk.toString('latin1', filling, bytes);
        return bytes;
      });
      return isAll(text);
    });
    return text;
  }

  close(): void {
    for (const fd of [this.#reader, this.writer]) closeSync(fd);
    rmSync(this.#folder, { recursive: true });
  }
}

/** Answers the bytes that were moved. */
function untilBusy(move: () => number): number {
  let bytes = 0;
  try {
    for (;;) bytes += move();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    return bytes;
  }
}
