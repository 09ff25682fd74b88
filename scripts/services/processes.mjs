// Looking at, running and stopping operating-system processes. Pids are reused, so nothing here trusts a pid that was
// written down: a process is named by pid plus start time, and that pair is checked again before each signal.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { until } from './until.mjs';

/** @typedef {{ pid: number, startTicks: string }} ProcessIdentity */
/** @typedef {ProcessIdentity & { comm: string, parentPid: number }} ProcessFacts */
/** @typedef {{ uid?: number, gid?: number }} RunAs */

/** @template T @param {() => T} read @returns {T | undefined} undefined when the process is gone or not ours to look at */
export function look(read) {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** @param {number} pid @returns {ProcessFacts | undefined} undefined for a process that has ended, zombies included */
export function processFacts(pid) {
  const stat = look(() => readFileSync(`/proc/${pid}/stat`, 'utf8'));
  if (stat === undefined) return undefined;
  // The name stands in parentheses and may itself hold parentheses and blanks.
  const nameEnd = stat.lastIndexOf(')');
  const fields = stat.slice(nameEnd + 2).split(' ');
  const [state, parentPid] = fields;
  // A killed process with threads shows as a zombie before its last thread, and with it its sockets and files, is gone.
  if (state === 'X' || (state === 'Z' && threadCount(pid) <= 1)) return undefined;
  const comm = stat.slice(stat.indexOf('(') + 1, nameEnd);
  return { pid, comm, parentPid: Number(parentPid), startTicks: String(fields[19]) };
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
 * @param {import('./child.mjs').StopSteps} steps
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
 * Runs a program to its end.
 * @param {string} file @param {string[]} args
 * @param {{ limitMs: number, cwd?: string, env?: NodeJS.ProcessEnv } & RunAs} options
 * @returns {Promise<{ code: number | null, output: string, error?: NodeJS.ErrnoException }>} never rejects
 */
export function runProgram(file, args, { limitMs, ...options }) {
  return new Promise((resolve) => {
    let output = '';
    const stdio = /** @type {import('node:child_process').StdioOptions} */ (['ignore', 'pipe', 'pipe']);
    const child = spawn(file, args, { ...options, stdio, timeout: limitMs, killSignal: 'SIGKILL' });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk) => {
        output += chunk;
      });
    }
    child.on('error', (error) => resolve({ code: null, output, error }));
    child.on('close', (code) => resolve({ code, output }));
  });
}
