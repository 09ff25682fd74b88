import { spawn } from 'node:child_process';
import { ServicesError } from './services-error.mjs';
import { until } from './until.mjs';

/** @typedef {{ signal: NodeJS.Signals, limitMs: number }[]} StopSteps each signal, and how long it may take */
/** @typedef {import('node:child_process').SpawnOptions} SpawnOptions */

/** The API's and the worker's own grace (SHUTDOWN_GRACE_MS) ends well before. @type {StopSteps} */
const STOP_STEPS = [
  { signal: 'SIGTERM', limitMs: 20_000 },
  { signal: 'SIGKILL', limitMs: 10_000 },
];

/**
 * A program that this process has started and answers for: however this process ends, the program is told. (By kill -9 it is
 * told as well where it has a channel and looks at it, as ours do.)
 */
export class Child {
  /** @type {import('node:child_process').ChildProcess} */ process;
  /** How it ended: `code 0`, `SIGKILL`. @type {Promise<string>} */ ended;
  /** The same; undefined while it lives. @type {string | undefined} */ how;
  /** @type {unknown} */ #said;
  /** @type {string} */ #name;
  /** @type {StopSteps} */ #steps;

  /** @param {string} name for messages @param {string[]} command @param {SpawnOptions & { stopSteps?: StopSteps }} options */
  constructor(name, [file = '', ...args], { stopSteps = STOP_STEPS, ...options }) {
    this.#name = name;
    this.#steps = stopSteps;
    const child = spawn(file, args, options);
    this.process = child;
    const leave = () => child.connected || child.kill(stopSteps[0]?.signal);
    process.once('exit', leave);
    this.ended = new Promise((resolve) => {
      child.once('error', (error) => resolve(`it could not be run: ${error.message}`));
      child.once('exit', (code, signal) => resolve(signal ?? `code ${code}`));
    }).then((how) => {
      process.removeListener('exit', leave);
      this.how = how;
      return how;
    });
    child.once('message', (said) => {
      this.#said = said;
    });
  }

  /** A program of Node's, with a channel. @param {string} name @param {string[]} args @param {SpawnOptions} options */
  static node(name, args, options) {
    const stdio = options.stdio ?? ['ignore', 'inherit', 'inherit', 'ipc'];
    return new Child(name, [process.execPath, '--enable-source-maps', ...args], { ...options, stdio });
  }

  /** What a shell would answer: 130 after a signal. */
  get exitCode() {
    return this.process.exitCode ?? 130;
  }

  /**
   * Asks until there is an answer, which it must give before it ends.
   * @template T @param {number} limitMs @param {() => T | Promise<T>} ask
   */
  async ready(limitMs, ask) {
    const answer = await until(limitMs, () => {
      if (this.how !== undefined) throw new ServicesError(`${this.#name} ended (${this.how}) before it was ready.`);
      return ask();
    });
    if (answer === undefined) throw new ServicesError(`${this.#name} was not ready within ${limitMs / 1_000} s.`);
    return answer;
  }

  /** The first thing that it says through its channel. @param {number} limitMs @returns {Promise<any>} */
  firstWord(limitMs) {
    return this.ready(limitMs, () => this.#said);
  }

  /** By one signal, however long it takes; answers how it ended. @param {NodeJS.Signals} signal */
  end(signal) {
    if (this.how === undefined) this.process.kill(signal);
    return this.ended;
  }

  /** Step by step; answers how it ended. */
  async stop() {
    for (const { signal, limitMs } of this.#steps) {
      if (this.how !== undefined) break;
      this.process.kill(signal);
      await until(limitMs, () => this.how);
    }
    if (this.how === undefined)
      throw new ServicesError(`${this.#name} (process ${this.process.pid}) could not be stopped.`);
    return this.how;
  }
}
