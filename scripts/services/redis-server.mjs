// A private Redis in a folder: 127.0.0.1 only, with a password, one process per role.
import { existsSync, mkdirSync, readlinkSync, realpathSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { freePort, isPortFree } from '../ports.mjs';
import {
  directoryId,
  isRunning,
  logTail,
  processFacts,
  runningProcesses,
  spawnServer,
  stopProcess,
} from './processes.mjs';
import { askRedis } from './redis-wire.mjs';
import { ServicesError } from './services-error.mjs';
import { until } from './until.mjs';

const START_MS = 60_000;
const START_TRIES = 5;

/** Redis writes its append-only file on SIGTERM; by force only when it hangs. */
const STOP_STEPS = /** @type {{ signal: NodeJS.Signals, limitMs: number }[]} */ ([
  { signal: 'SIGTERM', limitMs: 15_000 },
  { signal: 'SIGKILL', limitMs: 10_000 },
]);

/** What each role needs; see "Redis" in the design. @type {Record<'cache' | 'queue', string[]>} */
const ROLE_SETTINGS = {
  cache: ['maxmemory 128mb', 'maxmemory-policy volatile-lru', 'appendonly no'],
  // A queue must never drop a job to make room: BullMQ asks for noeviction.
  queue: ['maxmemory 512mb', 'maxmemory-policy noeviction', 'appendonly yes'],
};

/**
 * @param {object} options
 * @param {string} options.folder the sub-folder that this starter has claimed
 * @param {'cache' | 'queue'} options.role
 * @param {boolean} options.durable
 * @param {string} options.password
 * @param {number | undefined} options.preferredPort
 * @param {import('./redis-binaries.mjs').RedisProgram} options.program
 * @returns {Promise<{ url: string, port: number, pid: number, ended: Promise<string>, stop: () => Promise<void> }>}
 */
export async function startRedis({ folder, role, durable, password, preferredPort, program }) {
  const data = join(folder, `redis-${role}`);
  mkdirSync(data, { recursive: true, mode: 0o700 });
  await stopOrphans(data);
  const logFile = join(folder, `redis-${role}.log`);
  let reason = 'its port was taken each time';
  for (let tries = 0; tries < START_TRIES; tries += 1) {
    const remembered = tries === 0 && preferredPort !== undefined && (await isPortFree(preferredPort, '127.0.0.1'));
    const port = remembered ? preferredPort : await freePort();
    writeSettings(data, role, durable, password, port);
    const server = launch({ data, program, logFile });
    const failure = await whyNotReady({ server, port, password });
    if (failure === undefined) {
      const url = `redis://:${password}@127.0.0.1:${port}`;
      return {
        url,
        port,
        pid: server.identity.pid,
        ended: server.ended,
        stop: () => stop(server.identity),
      };
    }
    await stop(server.identity);
    reason = failure.reason;
    if (failure.final) break;
    await stopOrphans(data);
  }
  throw new ServicesError(`Redis (${role}) did not start: ${reason}. See ${logFile}, which ends:\n${logTail(logFile)}`);
}

/** Stops servers that work in this folder without a supervisor. @param {string} data */
export async function stopOrphans(data) {
  for (const orphan of serversIn(data)) await stop(orphan);
}

/** @param {import('./processes.mjs').ProcessIdentity} identity */
async function stop(identity) {
  if (await stopProcess(identity, STOP_STEPS)) return;
  throw new ServicesError(
    `Redis (process ${identity.pid}) could not be stopped; end it as its owner (\`kill ${identity.pid}\`) and try again.`,
  );
}

/** A Redis is known by the folder it works in, which nobody else's does. @param {string} data */
function serversIn(data) {
  return runningProcesses().filter(({ pid, comm }) => /^(redis|valkey)-/.test(comm) && worksIn(pid, data));
}

/** @param {number} pid @param {string} data */
function worksIn(pid, data) {
  try {
    const link = `/proc/${pid}/cwd`;
    if (existsSync(data) && directoryId(link) === directoryId(data)) return true;
    // The folder was deleted under the server's feet.
    return readlinkSync(link) === `${join(realpathSync(dirname(data)), basename(data))} (deleted)`;
  } catch {
    return false;
  }
}

/** @param {string} data @param {'cache' | 'queue'} role @param {boolean} durable @param {string} password @param {number} port */
function writeSettings(data, role, durable, password, port) {
  const lines = [
    '# Written at each start.',
    'bind 127.0.0.1',
    `port ${port}`,
    `requirepass ${password}`,
    'daemonize no',
    'save ""',
    ...ROLE_SETTINGS[role],
    `appendfsync ${durable ? 'everysec' : 'no'}`,
    'loglevel notice',
  ];
  writeFileSync(join(data, 'redis.conf'), `${lines.join('\n')}\n`, { mode: 0o600 });
}

/** @param {{ data: string, program: import('./redis-binaries.mjs').RedisProgram, logFile: string }} options */
function launch({ data, program, logFile }) {
  const child = spawnServer({
    file: program.file,
    args: ['./redis.conf'],
    cwd: data,
    logFile,
    env: program.env,
    stopSignal: 'SIGTERM',
  });
  const facts = child.pid === undefined ? undefined : processFacts(child.pid);
  const identity = { pid: child.pid ?? 0, startTicks: facts?.startTicks ?? '' };
  /** @type {Promise<string>} */
  const ended = new Promise((resolve) => {
    child.once('error', (error) => resolve(`it could not be run (${error.message})`));
    child.once('exit', (code, signal) => resolve(`it ended with ${signal ?? `code ${code}`}`));
  });
  return { identity, ended };
}

/** @param {{ server: ReturnType<typeof launch>, port: number, password: string }} options @returns {Promise<{ reason: string, final: boolean } | undefined>} what went wrong */
async function whyNotReady({ server, port, password }) {
  let last = 'it did not answer';
  const outcome = await until(START_MS, async () => {
    if (!isRunning(server.identity)) return 'ended';
    try {
      const reply = await askRedis(port, [`AUTH ${password}`, 'PING', 'INFO server']);
      if (reply.includes(`process_id:${server.identity.pid}\r\n`) && reply.includes('+PONG')) return 'ready';
      last = reply.slice(0, 200).trim();
    } catch (error) {
      last = /** @type {Error} */ (error).message;
    }
    return undefined;
  });
  if (outcome === 'ready') return undefined;
  if (outcome === 'ended') return { reason: await server.ended, final: false };
  return { reason: `it was not ready after ${START_MS / 1000} s (${last})`, final: true };
}
