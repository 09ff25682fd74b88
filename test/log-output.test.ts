import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { LogOutput } from '#platform/log-output.js';
import { FullPipe } from './support/full-pipe.js';
import type { Asked, Logged } from './support/logging-process.js';
import { sourceProcess } from './support/source-process.js';
import { until } from './support/until.js';

const LOGGING = new URL('./support/logging-process.ts', import.meta.url);
/** Far more than FLUSH_LIMIT_MS, on a machine that does other things, too. */
const SOON_MS = 15_000;
/** Longer than a write takes that somebody reads. */
const HANGS_MS = 1_000;
/** What closing may take beyond the grace. */
const CLOSE_EXTRA_MS = 2_000;
/** Far more than may wait, by any count. */
const TOO_MANY_LINES = 300_000;

const open: (() => void)[] = [];
afterEach(() => {
  for (const close of open.splice(0)) close();
});

interface HowToStart {
  /** Whether what it has to end ever ends. */
  stops?: 'soon' | 'never';
  graceMs?: number;
  /** `busy`: a write to a pipe that is full fails, and does not wait. */
  mode?: 'waits' | 'busy';
}

/** A process of ours that logs to `stdout`, and what it has told. */
class Logging {
  readonly process: ChildProcess;
  readonly told: unknown[] = [];
  errors = '';

  private constructor(stdout: 'pipe' | number, args: readonly string[]) {
    const { entry, execArgv = [] } = sourceProcess(LOGGING);
    this.process = spawn(process.execPath, [...execArgv, fileURLToPath(entry), ...args], {
      stdio: ['ignore', stdout, 'pipe', 'ipc'],
    });
    this.process.on('message', (message) => this.told.push(message));
    this.process.stderr?.on('data', (chunk) => (this.errors += chunk));
    open.push(() => this.process.kill('SIGKILL'));
  }

  /** One that takes signals. */
  static async start(
    stdout: 'pipe' | number,
    { stops = 'soon', graceMs = 60_000, mode = 'waits' }: HowToStart = {},
  ): Promise<Logging> {
    const logging = new Logging(stdout, [stops, String(graceMs), mode]);
    await until('it is ready', () => logging.#live().told.includes('ready'));
    return logging;
  }

  /** Answers how many of all its lines were dropped. */
  async log(lines: number): Promise<number> {
    const before = this.told.length;
    this.ask({ lines });
    await until('it has logged', () => this.#live().told.length > before);
    return (this.told.at(-1) as Logged).dropped;
  }

  ask(asked: Asked): void {
    this.process.send(asked);
  }

  async stopping(): Promise<void> {
    this.process.kill('SIGTERM');
    await until('it is stopping', () => this.#live().told.includes('stopping'));
  }

  /** The code or the signal that it ended with. */
  async ended(): Promise<number | string> {
    const { process } = this;
    await until('it has ended', () => process.exitCode !== null || process.signalCode !== null, SOON_MS);
    return process.exitCode ?? (process.signalCode as string);
  }

  #live(): this {
    const { exitCode, signalCode } = this.process;
    if (exitCode === null && signalCode === null) return this;
    throw new Error(`it ended with ${exitCode ?? signalCode}: ${this.errors}`);
  }
}

function fullPipe(): FullPipe {
  const pipe = new FullPipe();
  open.push(() => pipe.close());
  return pipe;
}

function fullDisk(): number {
  const fd = openSync('/dev/full', 'w');
  open.push(() => closeSync(fd));
  return fd;
}

const linesOf = (text: string): { count?: number; msg: string }[] =>
  text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
const countsOf = (text: string) => linesOf(text).flatMap(({ count }) => (count === undefined ? [] : [count]));
const upTo = (count: number) => Array.from({ length: count }, (_, index) => index);

describe('a log on a disk that is full', () => {
  test('ends nothing: its lines wait, and those that are too many are dropped and counted', async () => {
    const logging = await Logging.start(fullDisk());
    await logging.log(1_000);
    await until('some are dropped', async () => (await logging.log(20_000)) > 0);
    logging.process.kill('SIGTERM');
    expect(await logging.ended()).toBe(0);
  });

  test('does not keep a process that nobody has told of it', async () => {
    const logging = await Logging.start(fullDisk());
    logging.ask({ failAfterMs: 0 });
    expect(await logging.ended()).toBe(1);
    await until('it has said why', () => logging.errors.includes('nobody catches this'));
  });
});

describe('a log that nobody reads', () => {
  test('is in memory up to its limit, and there, in order, once somebody reads', async () => {
    const pipe = fullPipe();
    const logging = await Logging.start(pipe.writer);
    const dropped = await logging.log(TOO_MANY_LINES);
    expect(dropped).toBeGreaterThan(TOO_MANY_LINES / 2);
    const kept = TOO_MANY_LINES - dropped;
    const text = await pipe.read((read) => read.endsWith('\n') && read.includes(`"count":${kept - 1},`));
    expect(countsOf(text)).toEqual(upTo(kept));
    // It is as before.
    expect(await logging.log(100)).toBe(dropped);
    logging.process.kill('SIGTERM');
    const rest = await pipe.read((read) => read.includes('last words'));
    expect(linesOf(rest)).toHaveLength(102);
    expect(await logging.ended()).toBe(0);
  });

  test('does not keep a process that is told to stop', async () => {
    const logging = await Logging.start(fullPipe().writer);
    await logging.log(100);
    await logging.stopping();
    // Its code is lost with its log: a thread that writes is nothing that exit() could end.
    expect(await logging.ended()).toBe('SIGKILL');
  });

  test('does not keep one that has not stopped within its grace', async () => {
    const graceMs = 1_500;
    const logging = await Logging.start(fullPipe().writer, { stops: 'never', graceMs });
    await logging.log(100);
    const from = performance.now();
    await logging.stopping();
    expect(await logging.ended()).toBe('SIGKILL');
    expect(performance.now() - from).toBeGreaterThan(graceMs + CLOSE_EXTRA_MS);
  });

  test('does not keep one that fails once it has hung for long', async () => {
    const logging = await Logging.start(fullPipe().writer);
    await logging.log(100);
    logging.ask({ failAfterMs: HANGS_MS + 100 });
    expect(await logging.ended()).toBe('SIGKILL');
    await until('it has said why', () => logging.errors.includes('nobody catches this'));
  });

  test('does not keep one that is told twice', async () => {
    const logging = await Logging.start(fullPipe().writer, { stops: 'never' });
    await logging.log(100);
    await logging.stopping();
    logging.process.kill('SIGTERM');
    expect(await logging.ended()).toBe('SIGKILL');
  });
});

describe('a log whose pipe is full and says so', () => {
  test('is there, in order, once somebody reads', async () => {
    const pipe = fullPipe();
    const logging = await Logging.start(pipe.writer, { mode: 'busy' });
    expect(await logging.log(20_000)).toBe(0);
    expect(countsOf(await pipe.read((text) => text.endsWith('\n') && text.includes('"count":19999,')))).toEqual(
      upTo(20_000),
    );
  });

  test('does not keep a process that is told to stop, which ends with its code', async () => {
    const logging = await Logging.start(fullPipe().writer, { mode: 'busy' });
    await logging.log(100);
    await logging.stopping();
    expect(await logging.ended()).toBe(0);
  });
});

describe('a log that is read', () => {
  /** All that it says. */
  function heard(logging: Logging): () => string {
    let text = '';
    logging.process.stdout?.on('data', (chunk) => (text += chunk));
    return () => text;
  }

  test('has every line to the last when its process is told to stop', async () => {
    const logging = await Logging.start('pipe');
    const text = heard(logging);
    expect(await logging.log(20_000)).toBe(0);
    logging.process.kill('SIGTERM');
    expect(await logging.ended()).toBe(0);
    await until('it is read', () => text().includes('last words'));
    expect(countsOf(text())).toEqual(upTo(20_000));
  });

  test('has the last words of a process that fails', async () => {
    const logging = await Logging.start('pipe');
    const text = heard(logging);
    logging.ask({ failAfterMs: 0 });
    expect(await logging.ended()).toBe(1);
    await until('it is read', () => text().includes('last words'));
  });

  test('has a line within a second or two, however little else is logged', async () => {
    const logging = await Logging.start('pipe');
    const text = heard(logging);
    await logging.log(1);
    await until('it is read', () => text().includes('"count":0'));
  });

  test('has all that was logged when its process is told to stop twice', async () => {
    const logging = await Logging.start('pipe', { stops: 'never' });
    const text = heard(logging);
    await logging.log(10);
    await logging.stopping();
    logging.process.kill('SIGTERM');
    expect(await logging.ended()).toBe(1);
    await until('it is read', () => text().includes('last words'));
    expect(countsOf(text())).toEqual(upTo(10));
  });
});

describe('what is flushed', () => {
  /** In this process, to a file; without the look of each second. */
  function written(): { log: LogOutput; text: () => string; flushed: () => Promise<void> } {
    const folder = mkdtempSync(join(tmpdir(), 'counterfoil-log-'));
    const path = join(folder, 'log');
    const fd = openSync(path, 'w');
    vi.useFakeTimers({ toFake: ['setInterval'] });
    const log = new LogOutput(fd);
    vi.useRealTimers();
    open.push(() => {
      closeSync(fd);
      rmSync(folder, { recursive: true });
    });
    const flushed = async () => {
      let isFlushed = false;
      log.flush(() => {
        isFlushed = true;
      });
      await until('it is flushed', () => isFlushed, SOON_MS);
    };
    return { log, text: () => readFileSync(path, 'utf8'), flushed };
  }

  test('is written by then, whatever its letters', async () => {
    const { log, text, flushed } = written();
    for (const line of ['é'.repeat(5_000), 'last words']) {
      log.write(`${line}\n`);
      await flushed();
      expect(text().endsWith(`${line}\n`)).toBe(true);
    }
  });

  test('does not wait for more where it came behind a write', async () => {
    const { log, text, flushed } = written();
    log.write(`${'x'.repeat(5_000)}\n`);
    log.write('last words\n');
    await flushed();
    expect(text().endsWith('last words\n')).toBe(true);
  });
});
