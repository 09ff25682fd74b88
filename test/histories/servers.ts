import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FaultMutant } from '../../scripts/mutants/faults.mjs';
import { plant } from '../../scripts/mutants/mutant.mjs';
import { Child } from '../../scripts/services/child.mjs';

const ROOT = join(import.meta.dirname, '..', '..');
const START_LIMIT_MS = 60_000;
const POLL_MS = 50;
/** An API looks for 2 s whether its database answers. */
const READY_PATIENCE_MS = 3_000;
const LAST_WORDS_MS = 50;
/** What is read as it stands in the sources. */
const SCRIPTS = ['balances', 'limits'].map((room) => join('libs', room, 'src', 'lua'));

/**
 * The compiled services in a folder of their own, so that nobody compiles under their feet, and with a planted bug when
 * one is asked for.
 */
export class Build {
  readonly folder: string;
  /** Name of the planted bug. */
  readonly planted: string | undefined;

  constructor(mutant: FaultMutant | undefined) {
    const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');
    const { status, stdout } = spawnSync(process.execPath, [compiler, '-b', 'tsconfig.build.json'], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`the services do not compile:\n${stdout}`);
    this.folder = mkdtempSync(join(tmpdir(), 'counterfoil-histories-'));
    cpSync(join(ROOT, 'package.json'), join(this.folder, 'package.json'));
    cpSync(join(ROOT, 'dist'), join(this.folder, 'dist'), { recursive: true });
    for (const lua of SCRIPTS) cpSync(join(ROOT, lua), join(this.folder, lua), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(this.folder, 'node_modules'));
    this.planted = mutant?.name;
    if (mutant) this.#plant(mutant);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  #plant({ name, changes }: FaultMutant): void {
    for (const { file, search, replace } of changes) {
      const path = join(this.folder, file);
      const planted = plant(readFileSync(path, 'utf8'), { search, replace });
      if ('stale' in planted) throw new Error(`${name}: ${file}: ${planted.stale}`);
      writeFileSync(path, planted.source);
    }
  }
}

/** A real process that faults befall. */
export class Service {
  readonly name: string;
  readonly #build: Build;
  readonly #file: string;
  readonly #env: NodeJS.ProcessEnv;
  #child: Child | undefined;
  /** Somebody ends it. */
  #isEnded = false;
  /** Where the API listens; undefined while it does not. */
  url: string | undefined;
  paused = false;
  /** The last of what it logged. */
  log = '';
  /** Called where it ends and nobody ended it, once it has said its last. */
  onDeath: (how: string) => void = () => undefined;
  /** Called with all that it logs. */
  onOutput: (text: string) => void = () => undefined;
  /** When what listens is ready: an API unless told. */
  isReady: (url: string) => Promise<void> = untilCacheIsUsed;

  constructor(name: string, build: Build, file: string, env: NodeJS.ProcessEnv) {
    this.name = name;
    this.#build = build;
    this.#file = file;
    this.#env = env;
  }

  /** Undefined before the first start. */
  get pid(): number | undefined {
    return this.#child?.process.pid;
  }

  get lives(): boolean {
    return this.#child !== undefined && this.#child.how === undefined;
  }

  async start(): Promise<void> {
    const child = Child.node(this.name, [join(this.#build.folder, this.#file)], {
      cwd: this.#build.folder,
      env: this.#env,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.#child = child;
    this.#isEnded = false;
    for (const stream of [child.process.stdout, child.process.stderr]) {
      stream?.on('data', (chunk) => {
        this.log = (this.log + chunk).slice(-4_000);
        this.onOutput(String(chunk));
      });
    }
    const { listening: url }: { listening?: string } = await child.firstWord(START_LIMIT_MS).catch((error) => {
      throw new Error(`${error.message} ${this.log}`);
    });
    // Its first requests would find Redis not connected yet, and that is a fault of another kind.
    if (url !== undefined) await this.isReady(url);
    this.url = url;
    void this.#tellOfDeath(child);
  }

  /** Without a chance to say anything. */
  async crash(): Promise<void> {
    await this.end('SIGKILL');
  }

  /**
   * Answers the code that it ended with, or null: by the signal, or before. Clients know after so long that it does not listen any
   * more.
   */
  async end(signal: NodeJS.Signals, noticedMs = 0): Promise<number | null> {
    const child = this.#child;
    if (!child || child.how !== undefined) return null;
    this.#isEnded = true;
    this.paused = false;
    const ended = child.end(signal);
    // A stopped process takes nothing but SIGKILL.
    child.process.kill('SIGCONT');
    if (noticedMs > 0) await Promise.race([ended, sleep(noticedMs)]);
    this.url = undefined;
    await ended;
    // What it said last.
    await sleep(LAST_WORDS_MS);
    return child.process.exitCode;
  }

  pause(): void {
    this.paused = true;
    this.#child?.process.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.process.kill('SIGCONT');
    this.paused = false;
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.process.kill(name);
  }

  /** For the end of a run that went wrong. */
  killNow(): void {
    this.#isEnded = true;
    this.#child?.process.kill('SIGKILL');
  }

  async #tellOfDeath(child: Child): Promise<void> {
    const how = await child.ended;
    if (this.#isEnded) return;
    await sleep(LAST_WORDS_MS);
    this.onDeath(how);
  }
}

/** Resolves once the API says, twice, that it uses Redis. */
async function untilCacheIsUsed(url: string): Promise<void> {
  const end = performance.now() + START_LIMIT_MS;
  for (let times = 0; times < 2; ) {
    if (performance.now() > end) throw new Error('an API did not come back to Redis');
    times = (await cacheState(url)) === 'ok' ? times + 1 : 0;
    await sleep(POLL_MS);
  }
}

/** What the API says of its cache, or why it says nothing. */
export async function cacheState(url: string): Promise<string> {
  try {
    const response = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(READY_PATIENCE_MS) });
    const body = (await response.json()) as { checks: { balance_cache: string } };
    return body.checks.balance_cache;
  } catch (error) {
    return String(error);
  }
}
