// A private server: a program that works in a folder of its own and listens on a Unix socket in it. Nobody but the user may
// enter that folder, so whoever answers there is ours.
import { closeSync, openSync, readFileSync, readlinkSync, realpathSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Child } from './child.mjs';
import { commandLine, directoryId, look, runningProcesses, stopProcess } from './processes.mjs';
import { ServicesError } from './services-error.mjs';

const START_MS = 120_000;
const START_TRIES = 5;
const LOG_BYTES_KEPT = 10_000_000;
const LOG_LINES_SHOWN = 8;

/**
 * In good order (PostgreSQL: fast shutdown; Redis writes its append-only file); then without a checkpoint (PostgreSQL
 * recovers at the next start); then by force.
 */
const STOP_STEPS = /** @type {import('./child.mjs').StopSteps} */ ([
  { signal: 'SIGINT', limitMs: 30_000 },
  { signal: 'SIGQUIT', limitMs: 10_000 },
  { signal: 'SIGKILL', limitMs: 10_000 },
]);

/**
 * @typedef {object} PrivateServer
 * @property {string} url
 * @property {number} pid
 * @property {Promise<string>} ended how it ended
 * @property {() => Promise<unknown>} stop
 */

/**
 * @typedef {object} Launch
 * @property {string} title for messages
 * @property {string} file
 * @property {string[]} args
 * @property {NodeJS.ProcessEnv} env
 * @property {string} data the folder that it works in
 * @property {string} logFile
 * @property {import('./processes.mjs').RunAs} [runAs]
 */

/**
 * Starts it and waits until it answers. What is left of a killed server may take a moment to go (PostgreSQL refuses to start
 * beside it), so one that ends is started again.
 * @param {Launch} server
 * @param {{ url: string, beforeEach: () => void, answers: () => Promise<boolean> }} options answers: an error is final
 * @returns {Promise<PrivateServer>}
 */
export async function startPrivateServer(server, { url, beforeEach, answers }) {
  let reason = '';
  for (let tries = 1; tries <= START_TRIES; tries += 1) {
    beforeEach();
    const child = launch(server);
    try {
      await child.ready(START_MS, answers);
      return { url, pid: child.process.pid ?? 0, ended: child.ended, stop: () => child.stop() };
    } catch (error) {
      reason = /** @type {Error} */ (error).message;
      const hasEnded = child.how !== undefined;
      await child.stop();
      if (!hasEnded) break;
    }
  }
  throw refusal(server, reason);
}

/**
 * In a session of its own, so that Ctrl-C reaches only its supervisor, which stops it in order. Output goes to a file, because
 * a pipe would break the server once its supervisor is gone.
 * @param {Launch} server
 */
function launch({ title, file, args, env, data, logFile, runAs = {} }) {
  if ((look(() => statSync(logFile).size) ?? 0) > LOG_BYTES_KEPT) renameSync(logFile, `${logFile}.old`);
  const log = openSync(logFile, 'a', 0o600);
  const stdio = /** @type {import('node:child_process').StdioOptions} */ (['ignore', log, log]);
  const child = new Child(title, [file, ...args], {
    cwd: data,
    env,
    ...runAs,
    detached: true,
    stdio,
    stopSteps: STOP_STEPS,
  });
  closeSync(log);
  child.process.unref();
  return child;
}

/**
 * Stops the servers that a killed supervisor left running below the folder. Claim the folder first.
 * @param {string} folder with a sub-folder for each server
 */
export async function stopOrphans(folder) {
  const found = runningProcesses().filter(
    ({ pid, comm }) => /^(postgres|redis|valkey)/.test(comm) && (worksBelow(pid, folder) || hasMark(pid, folder)),
  );
  // A process of PostgreSQL ends with its parent.
  const orphans = found.filter(({ parentPid }) => !found.some(({ pid }) => pid === parentPid));
  for (const orphan of orphans) {
    if (await stopProcess(orphan, STOP_STEPS)) continue;
    throw new ServicesError(
      `${orphan.comm} (process ${orphan.pid}) could not be stopped; end it as its owner (\`kill ${orphan.pid}\`) and try again.`,
    );
  }
}

/** @param {number} pid @param {string} folder */
function worksBelow(pid, folder) {
  const cwd = `/proc/${pid}/cwd`;
  if (look(() => directoryId(`${cwd}/..`) === directoryId(folder))) return true;
  // The folder was deleted under the server's feet.
  const path = look(() => readlinkSync(cwd)) ?? '';
  return path.startsWith(`${realpathSync(folder)}/`) && path.endsWith(' (deleted)');
}

/**
 * Root in a container may not see where another account's process works; everybody may read its command line. A setting of
 * this kind is PostgreSQL's to ignore.
 * @param {string} data
 */
export const mark = (data) => `counterfoil.instance=${directoryId(data)}`;

/** @param {number} pid @param {string} folder */
function hasMark(pid, folder) {
  return look(() => commandLine(pid).includes(mark(join(folder, 'postgres')))) ?? false;
}

/** @param {Launch} server @param {string} reason */
function refusal({ title, logFile }, reason) {
  const text = look(() => readFileSync(logFile, 'utf8')) ?? '';
  const tail = text.trimEnd().split('\n').slice(-LOG_LINES_SHOWN).join('\n');
  return new ServicesError(`${title} did not start: ${reason} See ${logFile}, which ends:\n${tail}`);
}
