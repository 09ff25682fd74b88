// A private PostgreSQL 18 in a folder: 127.0.0.1 only, superuser `counterfoil` with a password, no Unix socket.
//
// As root the server runs as the account `counterfoil`, where the system has one, or as `nobody`, whose other processes can
// reach its files by way of /proc. Neither may reach a folder below a 0700 directory such as /root. The server is therefore
// started *inside* its folder and told that its data lies in /proc/self/cwd: the kernel follows that link without walking
// the path. So the data stays in the project's folder, closed to everybody else by its parents.
import {
  chownSync,
  closeSync,
  existsSync,
  fchownSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { freePort, isPortFree } from '../ports.mjs';
import { findPostgres } from './postgres-binaries.mjs';
import {
  commandLine,
  directoryId,
  isRunning,
  logTail,
  processFacts,
  runningProcesses,
  runProgram,
  serverEnvironment,
  spawnServer,
  stopProcess,
} from './processes.mjs';
import { ServicesError } from './services-error.mjs';
import { until } from './until.mjs';

const MAJOR_VERSION = '18';
const INITDB_MS = 120_000;
const START_MS = 120_000;
const START_TRIES = 5;
const WRONG_PASSWORD = '28P01';
/** cannot_connect_now (starting up, recovering), admin_shutdown, too_many_connections. */
const NOT_YET = new Set(['57P03', '57P01', '53300']);
const USER = 'counterfoil';
/** Of the operating system. */
const OWN_ACCOUNT = 'counterfoil';
const DATABASE = 'counterfoil';

/** Fast shutdown; then without a checkpoint (recovery at the next start); then by force. */
const STOP_STEPS = /** @type {{ signal: NodeJS.Signals, limitMs: number }[]} */ ([
  { signal: 'SIGINT', limitMs: 30_000 },
  { signal: 'SIGQUIT', limitMs: 10_000 },
  { signal: 'SIGKILL', limitMs: 10_000 },
]);

/** @typedef {Record<string, string | number | boolean>} Settings */
/** @typedef {import('./processes.mjs').RunAs} RunAs */

/** @type {Settings} */
const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: 200,
  shared_buffers: '256MB',
  wal_level: 'replica',
  min_wal_size: '256MB',
  max_wal_size: '2GB',
  checkpoint_timeout: '15min',
  synchronous_commit: 'on',
  password_encryption: 'scram-sha-256',
  random_page_cost: 1.1,
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_line_prefix: '%m [%p] %a ',
};

/** Only for data that may be lost with the machine. Killed processes lose nothing even so. @type {Settings} */
const NOT_DURABLE = { fsync: 'off', full_page_writes: 'off' };

/**
 * @param {object} options
 * @param {string} options.folder the sub-folder that this starter has claimed
 * @param {string} options.name shown in `ps`
 * @param {boolean} options.durable
 * @param {Settings} options.settings
 * @param {string} options.password
 * @param {number | undefined} options.preferredPort
 * @returns {Promise<{ url: string, port: number, pid: number, ended: Promise<string>, stop: () => Promise<void> }>}
 */
export async function startPostgres({ folder, name, durable, settings, password, preferredPort }) {
  const data = join(folder, 'postgres');
  const runAs = accountFor(data, { tell: durable });
  const programs = await findPostgres(runAs);
  if (!existsSync(data)) await initialise({ folder, data, programs, runAs, durable, password });
  refuseOtherVersion(data);
  await stopOrphans(data);

  const logFile = join(folder, 'postgres.log');
  let reason = 'its port was taken each time';
  for (let tries = 0; tries < START_TRIES; tries += 1) {
    const port = await choosePort(tries === 0 ? preferredPort : undefined);
    disownPidFile(data);
    writeSettings(data, {
      ...SETTINGS,
      ...(durable ? {} : NOT_DURABLE),
      cluster_name: `counterfoil-${name}`,
      ...settings,
      port,
    });
    const server = launch({ data, programs, runAs, logFile });
    const failure = await whyNotReady({ server, port, password, marker: marker(data) });
    if (failure === undefined) {
      await createDatabase({ port, password });
      const url = serverUrl({ port, password });
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
    // An orphan that was still starting when we looked, or processes of a killed server that are still on their way out.
    await stopOrphans(data);
  }
  throw new ServicesError(`PostgreSQL did not start: ${reason}. See ${logFile}, which ends:\n${logTail(logFile)}`);
}

/** @param {{ port: number, password: string }} server as the data folder's state file has them */
export function serverUrl({ port, password }) {
  return `postgresql://${USER}:${password}@127.0.0.1:${port}/${DATABASE}`;
}

/** Stops a server that runs on this folder without a supervisor. @param {string} data */
export async function stopOrphans(data) {
  if (!existsSync(data)) return;
  for (const orphan of postmastersOf(data)) await stop(orphan);
}

/** @param {import('./processes.mjs').ProcessIdentity} identity */
async function stop(identity) {
  if (await stopProcess(identity, STOP_STEPS)) return;
  throw new ServicesError(
    `PostgreSQL (process ${identity.pid}) could not be stopped; end it as its owner (\`kill ${identity.pid}\`) and try again.`,
  );
}

/** Part of the server's command line, by which it is known. @param {string} data */
const marker = (data) => directoryId(data);

/** @param {string} data */
function postmastersOf(data) {
  const argument = `counterfoil.instance=${marker(data)}`;
  const found = runningProcesses().filter(
    ({ pid, comm }) => comm === 'postgres' && commandLine(pid).includes(argument),
  );
  // A child shows its parent's command line until it has given itself a title.
  return found.filter(({ parentPid }) => !found.some(({ pid }) => pid === parentPid));
}

/** PostgreSQL refuses to run as root. We add no account to the system: that is for its administrator. @param {string} data @param {{ tell: boolean }} options @returns {RunAs} */
function accountFor(data, { tell }) {
  if (process.getuid?.() !== 0) return {};
  if (existsSync(data)) {
    const { uid, gid } = statSync(data);
    return { uid, gid };
  }
  const accounts = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  for (const wanted of [OWN_ACCOUNT, 'nobody', 'daemon', 'bin']) {
    const account = accounts.find(([user]) => user === wanted);
    if (!account || Number(account[2]) === 0) continue;
    if (tell && wanted !== OWN_ACCOUNT) console.warn(sharedAccount(wanted));
    return { uid: Number(account[2]), gid: Number(account[3]) };
  }
  throw new ServicesError(
    'PostgreSQL refuses to run as root and this system has no user "nobody"; run as an ordinary user, or set DATABASE_URL.',
  );
}

/** @param {string} account */
const sharedAccount = (account) =>
  `# PostgreSQL refuses to run as root and is set up as ${account}: that account's other processes can reach its files.\n# \`useradd --system ${OWN_ACCOUNT}\` before the first start (after \`npm run reset\`) gives it an account of its own.`;

/** How the server itself names its folder. @param {string} data @param {RunAs} runAs */
const nameOfData = (data, runAs) => (runAs.uid === undefined ? data : '/proc/self/cwd');

/**
 * Works on a neighbour folder that takes the name when it is complete.
 * @param {{ folder: string, data: string, programs: string, runAs: RunAs, durable: boolean, password: string }} options
 */
async function initialise({ folder, data, programs, runAs, durable, password }) {
  const fresh = `${data}.new`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { mode: 0o700 });
  if (runAs.uid !== undefined && runAs.gid !== undefined) chownSync(fresh, runAs.uid, runAs.gid);
  const passwordFd = openPasswordFile(folder, password, runAs);
  try {
    const { code, output, error } = await runProgram(
      join(programs, 'bin', 'initdb'),
      [
        `--pgdata=${nameOfData(fresh, runAs)}`,
        `--username=${USER}`,
        '--pwfile=/proc/self/fd/3',
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        '--locale=C',
        '--locale-provider=builtin',
        '--builtin-locale=C.UTF-8',
        '--data-checksums',
        '--no-instructions',
        ...(durable ? [] : ['--no-sync']),
      ],
      { ...runAs, cwd: fresh, env: serverEnvironment(), limitMs: INITDB_MS, extraFd: passwordFd },
    );
    if (code !== 0) {
      throw new ServicesError(
        `PostgreSQL's initdb failed in ${fresh}; free some disk space or set COUNTERFOIL_DATA_DIR to another disk. It said:\n${(error?.message ?? output).trim()}`,
      );
    }
  } finally {
    closeSync(passwordFd);
  }
  const settingsFile = join(fresh, 'postgresql.conf');
  writeForServer(fresh, settingsFile, `${readFileSync(settingsFile, 'utf8')}\ninclude 'counterfoil.conf'\n`);
  renameSync(fresh, data);
}

/** An open file without a name: nothing to clean up, and only the server's account can read it. @param {string} folder @param {string} password @param {RunAs} runAs */
function openPasswordFile(folder, password, { uid, gid }) {
  const file = join(folder, 'password.new');
  rmSync(file, { force: true });
  const fd = openSync(file, 'wx+', 0o600);
  unlinkSync(file);
  writeSync(fd, `${password}\n`, 0);
  if (uid !== undefined && gid !== undefined) fchownSync(fd, uid, gid);
  return fd;
}

/** @param {string} data */
function refuseOtherVersion(data) {
  const version = readFileSync(join(data, 'PG_VERSION'), 'utf8').trim();
  if (version === MAJOR_VERSION) return;
  throw new ServicesError(
    `${data} was written by PostgreSQL ${version} and this is ${MAJOR_VERSION}; \`npm run reset\` starts afresh (it deletes the data).`,
  );
}

/**
 * After kill -9 the file names a pid that may meanwhile belong to a stranger (or a zombie), and PostgreSQL would refuse to
 * start because of it. It skips the check for its parent's pid, so we put ours there; the rest of the file stays, because
 * PostgreSQL finds with it whether processes of the killed server are still attached to its shared memory.
 * @param {string} data no server of ours runs on it
 */
function disownPidFile(data) {
  const file = join(data, 'postmaster.pid');
  if (!existsSync(file)) return;
  const [pid, ...rest] = readFileSync(file, 'utf8').split('\n');
  const stranger = processFacts(Number(pid));
  if (stranger?.comm === 'postgres' && worksIn(stranger.pid, data) && !isOursElsewhere(stranger)) {
    throw new ServicesError(
      `A PostgreSQL that was started by hand (process ${pid}) runs on ${data}; stop it and try again.`,
    );
  }
  writeForServer(data, file, [process.pid, ...rest].join('\n'));
}

/** @param {number} pid @param {string} data true also where we may not look */
function worksIn(pid, data) {
  try {
    return directoryId(`/proc/${pid}/cwd`) === directoryId(data);
  } catch {
    return processFacts(pid) !== undefined;
  }
}

/** A server of another checkout, or a child of one, that got the pid. @param {import('./processes.mjs').ProcessFacts} facts */
const isOursElsewhere = ({ pid, parentPid }) =>
  [pid, parentPid].some((id) => commandLine(id).some((argument) => argument.startsWith('counterfoil.instance=')));

/** @param {number | undefined} preferred */
async function choosePort(preferred) {
  if (preferred !== undefined && (await isPortFree(preferred, '127.0.0.1'))) return preferred;
  return freePort();
}

/** @param {string} data @param {Settings} settings */
function writeSettings(data, settings) {
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${String(value).replaceAll("'", "''")}'`);
  const file = join(data, 'counterfoil.conf');
  writeForServer(data, file, `# Written at each start.\n${lines.join('\n')}\n`);
}

/**
 * Replaces the file rather than writing through it: the folder is the server's, and as root we must not follow a link
 * that was planted there.
 * @param {string} data @param {string} file @param {string} text
 */
function writeForServer(data, file, text) {
  const { uid, gid } = statSync(data);
  rmSync(file, { force: true });
  const fd = openSync(file, 'wx', 0o600);
  try {
    writeSync(fd, text);
    if (process.getuid?.() === 0) fchownSync(fd, uid, gid);
  } finally {
    closeSync(fd);
  }
}

/** @param {{ data: string, programs: string, runAs: RunAs, logFile: string }} options */
function launch({ data, programs, runAs, logFile }) {
  const child = spawnServer({
    file: join(programs, 'bin', 'postgres'),
    args: ['-D', nameOfData(data, runAs), '-c', `counterfoil.instance=${marker(data)}`],
    cwd: data,
    logFile,
    env: serverEnvironment(),
    stopSignal: 'SIGINT',
    ...runAs,
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

/**
 * Waits until the server answers and is the one we started: somebody else may have taken the port.
 * @param {{ server: ReturnType<typeof launch>, port: number, password: string, marker: string }} options
 * @returns {Promise<{ reason: string, final: boolean } | undefined>} what went wrong; final: another try would not help
 */
async function whyNotReady({ server, port, password, marker }) {
  /** @type {string | undefined} */
  let ended;
  void server.ended.then((how) => {
    ended = how;
  });
  let lastError = 'it did not answer';
  const outcome = await until(START_MS, async () => {
    if (ended !== undefined || !isRunning(server.identity)) return 'ended';
    try {
      const [row] = await query(
        { port, password, database: 'postgres' },
        "SELECT current_setting('counterfoil.instance', true) AS marker",
      );
      return row?.marker === marker ? 'ready' : 'stranger';
    } catch (error) {
      lastError = /** @type {Error} */ (error).message;
      const code = String(/** @type {{ code?: string }} */ (error).code);
      if (code === WRONG_PASSWORD) return 'password';
      // Another SQLSTATE than "not yet" is the server's last word; what is no SQLSTATE is a connection not yet made.
      return /^[0-9A-Z]{5}$/.test(code) && !NOT_YET.has(code) && !code.startsWith('E') ? 'refused' : undefined;
    }
  });
  if (outcome === 'ready') return undefined;
  // Its exit may be told a moment after it is gone.
  if (outcome === 'ended') return { reason: await server.ended, final: false };
  if (outcome === 'stranger') return { reason: `another PostgreSQL answers on port ${port}`, final: false };
  // Perhaps a stranger on our port as well.
  if (outcome === 'password') return { reason: 'it refuses the remembered password', final: false };
  if (outcome === 'refused') return { reason: lastError, final: true };
  return { reason: `it was not ready after ${START_MS / 1000} s (${lastError})`, final: true };
}

/** @param {{ port: number, password: string }} server */
async function createDatabase({ port, password }) {
  const maintenance = { port, password, database: 'postgres' };
  const found = await query(maintenance, `SELECT 1 FROM pg_database WHERE datname = '${DATABASE}'`);
  if (found.length === 0) await query(maintenance, `CREATE DATABASE ${DATABASE}`);
}

/** @param {{ port: number, password: string, database: string }} server @param {string} sql @returns {Promise<Record<string, unknown>[]>} */
async function query({ port, password, database }, sql) {
  const client = new pg.Client({
    host: '127.0.0.1',
    port,
    user: USER,
    password,
    database,
    ssl: false,
    // Stands in for the caller's PGOPTIONS, which may hold anything.
    options: '-c client_min_messages=warning',
    connectionTimeoutMillis: 5_000,
  });
  // A server that goes away between two answers would otherwise end this process.
  client.on('error', () => {});
  try {
    await client.connect();
    return (await client.query(sql)).rows;
  } finally {
    await client.end().catch(() => {});
  }
}
