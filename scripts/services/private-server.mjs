// A private server: a program that works in a folder of its own and listens on a Unix socket in it. Nobody but the user may
// enter that folder, so whoever answers there is ours.
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, readlinkSync, realpathSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { commandLine, directoryId, look, processFacts, runningProcesses, stopProcess } from './processes.mjs';
import { ServicesError } from './services-error.mjs';
import { until } from './until.mjs';

const START_MS = 120_000;
const START_TRIES = 5;
const LOG_BYTES_KEPT = 10_000_000;
const LOG_LINES_SHOWN = 8;

/**
 * In good order (PostgreSQL: fast shutdown; Redis writes its append-only file); then without a checkpoint (PostgreSQL
 * recovers at the next start); then by force.
 */
const STOP_STEPS = /** @type {{ signal: NodeJS.Signals, limitMs: number }[]} */ ([
  { signal: 'SIGINT', limitMs: 30_000 },
  { signal: 'SIGQUIT', limitMs: 10_000 },
  { signal: 'SIGKILL', limitMs: 10_000 },
]);

/**
 * @typedef {object} PrivateServer
 * @property {string} url
 * @property {number} pid
 * @property {Promise<string>} ended how it ended
 * @property {() => Promise<void>} stop
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
 * @param {{ url: string, beforeEach: () => void, answers: () => Promise<boolean> }} options
 *   answers: an error that it throws is final, unless it is one of a connection that could not be made
 * @returns {Promise<PrivateServer>}
 */
export async function startPrivateServer(server, { url, beforeEach, answers }) {
  let reason = '';
  for (let tries = 1; tries <= START_TRIES; tries += 1) {
    beforeEach();
    const { identity, ended, hasEnded } = launch(server);
    const stop = () => stopServer(server.title, identity);
    const ready = await until(START_MS, () => hasEnded() || answers()).catch(async (error) => {
      await stop();
      throw refusal(server, error.message);
    });
    if (ready && !hasEnded()) return { url, pid: identity.pid, ended, stop };
    await stop();
    if (!ready) throw refusal(server, `it did not answer within ${START_MS / 1_000} s`);
    reason = await ended;
  }
  throw refusal(server, reason);
}

/**
 * In a session of its own, so that Ctrl-C reaches only its supervisor, which stops it in order. A supervisor that leaves without
 * that, be the server ready or not, signals it as it goes. Output goes to a file, because a pipe would break the server once
 * its supervisor is gone.
 * @param {Launch} server
 */
function launch({ file, args, env, data, logFile, runAs = {} }) {
  if ((look(() => statSync(logFile).size) ?? 0) > LOG_BYTES_KEPT) renameSync(logFile, `${logFile}.old`);
  const log = openSync(logFile, 'a', 0o600);
  const child = spawn(file, args, { cwd: data, env, ...runAs, detached: true, stdio: ['ignore', log, log] });
  closeSync(log);
  child.unref();
  const stopBehind = () => child.kill('SIGINT');
  process.once('exit', stopBehind);
  /** @type {string | undefined} */
  let how;
  /** @type {Promise<string>} */
  const ended = new Promise((resolve) => {
    child.once('error', (error) => resolve(`it could not be run (${error.message})`));
    child.once('exit', (code, signal) => resolve(`it ended with ${signal ?? `code ${code}`}`));
  });
  void ended.then((outcome) => {
    how = outcome;
    process.removeListener('exit', stopBehind);
  });
  const pid = child.pid ?? 0;
  return {
    identity: { pid, startTicks: processFacts(pid)?.startTicks ?? '' },
    ended,
    hasEnded: () => how !== undefined,
  };
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
  for (const orphan of orphans) await stopServer(orphan.comm, orphan);
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

/** @param {string} title @param {import('./processes.mjs').ProcessIdentity} identity */
async function stopServer(title, identity) {
  if (await stopProcess(identity, STOP_STEPS)) return;
  throw new ServicesError(
    `${title} (process ${identity.pid}) could not be stopped; end it as its owner (\`kill ${identity.pid}\`) and try again.`,
  );
}

/** @param {Launch} server @param {string} reason */
function refusal({ title, logFile }, reason) {
  const text = look(() => readFileSync(logFile, 'utf8')) ?? '';
  const tail = text.trimEnd().split('\n').slice(-LOG_LINES_SHOWN).join('\n');
  return new ServicesError(`${title} did not start: ${reason}. See ${logFile}, which ends:\n${tail}`);
}
