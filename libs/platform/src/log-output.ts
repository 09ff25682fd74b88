import { write, writeSync } from 'node:fs';
import { inspect } from 'node:util';

/** Lines are written together, so many bytes or a second's: a write per request would cost as much as the request's JSON. */
const TOGETHER_BYTES = 4_096;
const TOGETHER_MS = 1_000;
/** Of one write. */
const CHUNK_LENGTH = 16_384;
/** What may wait to be written, some 30,000 lines; lines beyond are dropped. */
const WAITING_BYTES = 8 * 1_048_576;
/** Whoever reads has no room yet, and can be asked again soon. */
const BUSY = new Set(['EAGAIN', 'EBUSY']);
const AGAIN_MS = 100;
/** A write that takes longer will not come back: nobody reads. */
const HANGS_MS = 1_000;

/**
 * Where the log goes. It never ends or stops the process, whatever becomes of it: lines that cannot be written, as the disk is
 * full or nobody reads, wait in memory up to a limit and are dropped beyond it.
 */
export class LogOutput {
  /** Lines so far. */
  dropped = 0;
  readonly #fd: number;
  #chunks: string[] = [];
  /** Taken from the chunks, and not written to its end. */
  #inHand: Buffer | undefined;
  #waitingBytes = 0;
  #writingSinceMs: number | undefined;
  /** The last write failed: not each line tries anew. */
  #hasFailed = false;
  #isGivenUp = false;
  #onFlushed: (() => void)[] = [];
  #uncaught: unknown;

  constructor(fd: number) {
    this.#fd = fd;
    setInterval(() => this.#next(), TOGETHER_MS).unref();
    process.on('exit', () => this.#end());
    process.on('uncaughtExceptionMonitor', (error) => {
      this.#uncaught = error;
    });
  }

  write(line: string): void {
    const bytes = Buffer.byteLength(line);
    if (this.#waitingBytes + bytes > WAITING_BYTES) {
      this.dropped += 1;
      return;
    }
    this.#waitingBytes += bytes;
    const last = this.#chunks.at(-1);
    if (last !== undefined && last.length + line.length <= CHUNK_LENGTH) {
      this.#chunks[this.#chunks.length - 1] = last + line;
    } else this.#chunks.push(line);
    if (this.#waitingBytes >= TOGETHER_BYTES && !this.#hasFailed) this.#next();
  }

  /** Calls back once everything is written, or cannot be; never where a write hangs. */
  flush(onFlushed: () => void): void {
    this.#onFlushed.push(onFlushed);
    if (this.#waitingBytes > 0) this.#next();
    else this.#flushed();
  }

  /** What still waits is lost, so that the process can end. */
  giveUp(): void {
    this.#isGivenUp = true;
  }

  #next(): void {
    if (this.#writingSinceMs !== undefined || this.#waitingBytes === 0) return;
    this.#inHand ??= Buffer.from(this.#chunks.shift() ?? '');
    this.#writingSinceMs = performance.now();
    write(this.#fd, this.#inHand, (error, written) => {
      this.#writingSinceMs = undefined;
      this.#hasFailed = error !== null;
      if (error) this.#failed(error);
      else this.#wrote(written);
    });
  }

  #wrote(bytes: number): void {
    this.#waitingBytes -= bytes;
    const rest = this.#inHand?.subarray(bytes);
    this.#inHand = rest?.length ? rest : undefined;
    if (this.#waitingBytes === 0) this.#flushed();
    else if (this.#inHand || this.#waitingBytes >= TOGETHER_BYTES || this.#onFlushed.length > 0) this.#next();
  }

  #failed({ code = '' }: NodeJS.ErrnoException): void {
    if (BUSY.has(code)) setTimeout(() => this.#next(), AGAIN_MS);
    else this.#flushed();
  }

  #flushed(): void {
    for (const onFlushed of this.#onFlushed.splice(0)) onFlushed();
  }

  /** At the process's exit, which has no event loop any more. */
  #end(): void {
    const writesForMs = this.#writingSinceMs === undefined ? 0 : performance.now() - this.#writingSinceMs;
    // One that fails, as its pipe is full, comes back, this time too.
    const mayHang = this.#isGivenUp && !this.#hasFailed;
    if (this.#writingSinceMs !== undefined && (mayHang || writesForMs > HANGS_MS)) endTheHardWay(this.#uncaught);
    if (this.#isGivenUp) return;
    const first = this.#writingSinceMs === undefined ? this.#inHand : undefined;
    let rest = Buffer.concat([first ?? Buffer.alloc(0), Buffer.from(this.#chunks.join(''))]);
    try {
      while (rest.length > 0) rest = rest.subarray(writeSync(this.#fd, rest));
    } catch {
      // It cannot be written.
    }
  }
}

/** exit() waits for libuv's threads, and with them for a write that does not come back. */
function endTheHardWay(uncaught: unknown): never {
  try {
    // Node would tell it after the exit.
    if (uncaught !== undefined) writeSync(2, `${inspect(uncaught)}\n`);
  } catch {
    // Nobody reads that either.
  }
  process.kill(process.pid, 'SIGKILL');
  // The first process of a container cannot be killed by itself.
  process.abort();
}

let standardOutput: LogOutput | undefined;

/** The process's one; there is none before somebody logs to it. */
export function logOutput(): LogOutput {
  standardOutput ??= new LogOutput(1);
  return standardOutput;
}
