// Looking at, starting and stopping operating-system processes. Pids are reused, so nothing here trusts a pid that was
// written down: servers are found by what they are (their command line, their working directory) and named by pid plus
// start time, and that pair is checked again before each signal.
import { spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync, renameSync, statSync } from 'node:fs';
import { until } from './until.mjs';

const LOG_BYTES_KEPT = 10_000_000;

/** @typedef {{ pid: number, startTicks: string }} ProcessIdentity */
/** @typedef {ProcessIdentity & { comm: string, parentPid: number, uid: number }} ProcessFacts */
/** @typedef {{ uid?: number, gid?: number }} RunAs */

/** @template T @param {() => T} read @returns {T | undefined} undefined when the process is gone or not ours to look at */
function look(read) {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** @param {number} pid @returns {ProcessFacts | undefined} undefined for a process that has ended, zombies included */
export function processFacts(pid) {
  const stat = look(() => readFileSync(`/proc/${pid}/stat`, 'utf8'));
  const owner = look(() => statSync(`/proc/${pid}`).uid);
  if (stat === undefined || owner === undefined) return undefined;
  // The name stands in parentheses and may itself hold parentheses and blanks.
  const nameEnd = stat.lastIndexOf(')');
  const fields = stat.slice(nameEnd + 2).split(' ');
  const [state, parentPid] = fields;
  // A killed process with threads shows as a zombie before its last thread, and with it its sockets and files, is gone.
  if (state === 'X' || (state === 'Z' && threadCount(pid) <= 1)) return undefined;
  const comm = stat.slice(stat.indexOf('(') + 1, nameEnd);
  return { pid, comm, parentPid: Number(parentPid), uid: owner, startTicks: String(fields[19]) };
}

/** @param {number} pid */
const threadCount = (pid) => look(() => readdirSync(`/proc/${pid}/task`).length) ?? 0;

/** @returns {ProcessFacts[]} */
export function runningProcesses() {
  const pids = (look(() => readdirSync('/proc')) ?? []).filter((name) => /^\d+$/.test(name));
  return pids.map((pid) => processFacts(Number(pid))).filter((facts) => facts !== undefined);
}

/** @param {number} pid @returns {string[]} */
export function commandLine(pid) {
  return (look(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8')) ?? '').split('\0');
}

/** @param {ProcessIdentity} identity */
export function isRunning({ pid, startTicks }) {
  return processFacts(pid)?.startTicks === startTicks;
}

/**
 * Sends each signal in turn until the process has ended.
 * @param {ProcessIdentity} identity
 * @param {{ signal: NodeJS.Signals, limitMs: number }[]} steps
 * @returns {Promise<boolean>} whether it has ended
 */
export async function stopProcess(identity, steps) {
  for (const { signal, limitMs } of steps) {
    if (!isRunning(identity)) return true;
    look(() => process.kill(identity.pid, signal));
    if (await until(limitMs, () => !isRunning(identity))) return true;
  }
  return !isRunning(identity);
}

/** A directory's identity: it stays when the directory is moved, and a copy has another one. @param {string} directory */
export function directoryId(directory) {
  const { dev, ino } = statSync(directory);
  return `${dev}:${ino}`;
}

/** The environment of a server: the caller's PG… and LC_… variables would change what it does. */
export function serverEnvironment() {
  return { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' };
}

/**
 * Starts a server in a session of its own, so that Ctrl-C reaches only its supervisor, which stops it in order. A supervisor
 * that leaves without that, be the server ready or not, signals it as it goes. Output goes to a file, because a pipe would
 * break the server once its supervisor is gone.
 * @param {{ file: string, args: string[], cwd: string, logFile: string, env: NodeJS.ProcessEnv, stopSignal: NodeJS.Signals } & RunAs} options
 */
export function spawnServer({ file, args, cwd, logFile, env, stopSignal, uid, gid }) {
  if ((look(() => statSync(logFile).size) ?? 0) > LOG_BYTES_KEPT) renameSync(logFile, `${logFile}.old`);
  const log = openSync(logFile, 'a', 0o600);
  try {
    const child = spawn(file, args, { cwd, env, uid, gid, detached: true, stdio: ['ignore', log, log] });
    child.unref();
    const stopBehind = () => child.kill(stopSignal);
    process.once('exit', stopBehind);
    child.once('exit', () => process.removeListener('exit', stopBehind));
    return child;
  } finally {
    closeSync(log);
  }
}

/** The end of a log, for an error message. @param {string} logFile @param {number} [lines] */
export function logTail(logFile, lines = 8) {
  const text = look(() => readFileSync(logFile, 'utf8')) ?? '';
  return text.trimEnd().split('\n').slice(-lines).join('\n');
}

/**
 * Runs a program to its end.
 * @param {string} file @param {string[]} args
 * @param {{ limitMs: number, cwd?: string, env?: NodeJS.ProcessEnv, extraFd?: number } & RunAs} options
 * @returns {Promise<{ code: number | null, output: string, error?: NodeJS.ErrnoException }>} never rejects
 */
export function runProgram(file, args, { limitMs, extraFd, ...options }) {
  return new Promise((resolve) => {
    let output = '';
    const stdio = /** @type {import('node:child_process').StdioOptions} */ (['ignore', 'pipe', 'pipe']);
    if (extraFd !== undefined) /** @type {unknown[]} */ (stdio).push(extraFd);
    const child = spawn(file, args, { ...options, stdio, timeout: limitMs, killSignal: 'SIGKILL' });
    child.stdout?.on('data', (chunk) => {
      output += chunk;
    });
    child.stderr?.on('data', (chunk) => {
      output += chunk;
    });
    child.on('error', (error) => resolve({ code: null, output, error }));
    child.on('close', (code) => resolve({ code, output }));
  });
}
