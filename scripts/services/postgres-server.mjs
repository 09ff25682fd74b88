// A private PostgreSQL 18 in a folder, on a Unix socket there alone: whoever can enter the folder is let in, as any role.
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
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { findPostgres } from './postgres-binaries.mjs';
import { mark, startPrivateServer } from './private-server.mjs';
import { runProgram, serverEnvironment } from './processes.mjs';
import { ServicesError } from './services-error.mjs';
import { socketFolder } from './socket-folder.mjs';

const MAJOR_VERSION = '18';
const INITDB_MS = 120_000;
/** Part of the socket's name, and never a port. */
const PORT = 5432;
/** cannot_connect_now (starting up, recovering), admin_shutdown, too_many_connections. */
const NOT_YET = new Set(['57P03', '57P01', '53300']);
const USER = 'counterfoil';
/** Of the operating system. */
const OWN_ACCOUNT = 'counterfoil';
const DATABASE = 'counterfoil';

/** @typedef {Record<string, string | number | boolean>} Settings */
/** @typedef {import('./processes.mjs').RunAs} RunAs */

/** @type {Settings} */
const SETTINGS = {
  listen_addresses: '',
  // The data folder, from inside.
  unix_socket_directories: '.',
  port: PORT,
  max_connections: 200,
  shared_buffers: '256MB',
  wal_level: 'replica',
  min_wal_size: '256MB',
  max_wal_size: '2GB',
  checkpoint_timeout: '15min',
  synchronous_commit: 'on',
  random_page_cost: 1.1,
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_line_prefix: '%m [%p] %a ',
};

/** Only for data that may be lost with the machine. Killed processes lose nothing even so. @type {Settings} */
const NOT_DURABLE = { fsync: 'off', full_page_writes: 'off' };

/** A test may have it listen on 127.0.0.1, too. */
const HOST_BASED_AUTHENTICATION = 'local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n';

/**
 * @param {object} options
 * @param {string} options.folder the sub-folder that this starter has claimed
 * @param {string} options.name shown in `ps`
 * @param {boolean} options.durable
 * @param {Settings} options.settings
 */
export async function startPostgres({ folder, name, durable, settings }) {
  const data = join(folder, 'postgres');
  const runAs = accountFor(data, { tell: durable });
  const programs = await findPostgres(runAs);
  if (!existsSync(data)) await initialise({ data, programs, runAs, durable });
  refuseOtherVersion(data);
  const host = join(socketFolder(folder), 'postgres');
  const { port } = { port: PORT, ...settings };
  const server = {
    title: 'PostgreSQL',
    file: join(programs, 'bin', 'postgres'),
    args: ['-D', nameOfData(data, runAs), '-c', mark(data)],
    env: serverEnvironment(),
    data,
    logFile: join(folder, 'postgres.log'),
    runAs,
  };
  return startPrivateServer(server, {
    url: `postgresql://${USER}@localhost:${port}/${DATABASE}?host=${host}`,
    beforeEach: () => {
      disownLockFiles(data);
      const clusterName = { cluster_name: `counterfoil-${name}` };
      writeSettings(data, { ...SETTINGS, ...(durable ? {} : NOT_DURABLE), ...clusterName, ...settings });
    },
    answers: () => hasDatabase({ host, port: Number(port) }),
  });
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
 * @param {{ data: string, programs: string, runAs: RunAs, durable: boolean }} options
 */
async function initialise({ data, programs, runAs, durable }) {
  const fresh = `${data}.new`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { mode: 0o700 });
  if (runAs.uid !== undefined && runAs.gid !== undefined) chownSync(fresh, runAs.uid, runAs.gid);
  const { code, output, error } = await runProgram(
    join(programs, 'bin', 'initdb'),
    [
      `--pgdata=${nameOfData(fresh, runAs)}`,
      `--username=${USER}`,
      '--auth=trust',
      '--encoding=UTF8',
      '--locale=C',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      '--data-checksums',
      '--no-instructions',
      ...(durable ? [] : ['--no-sync']),
    ],
    { ...runAs, cwd: fresh, env: serverEnvironment(), limitMs: INITDB_MS },
  );
  if (code !== 0) {
    throw new ServicesError(
      `PostgreSQL's initdb failed in ${fresh}; free some disk space or set COUNTERFOIL_DATA_DIR to another disk. It said:\n${(error?.message ?? output).trim()}`,
    );
  }
  const settingsFile = join(fresh, 'postgresql.conf');
  writeForServer(fresh, settingsFile, `${readFileSync(settingsFile, 'utf8')}\ninclude 'counterfoil.conf'\n`);
  renameSync(fresh, data);
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
 * After kill -9 PostgreSQL's lock files name a pid that may meanwhile belong to a stranger (or a zombie), and it would refuse to
 * start because of it. Of the data's it skips the check for its parent's pid, so we put ours there; the rest of that file
 * stays, because PostgreSQL finds with it whether processes of the killed server are still attached to its shared memory.
 * @param {string} data no server of ours runs on it
 */
function disownLockFiles(data) {
  rmSync(join(data, `.s.PGSQL.${PORT}.lock`), { force: true });
  const file = join(data, 'postmaster.pid');
  if (!existsSync(file)) return;
  const [, ...rest] = readFileSync(file, 'utf8').split('\n');
  writeForServer(data, file, [process.pid, ...rest].join('\n'));
}

/** @param {string} data @param {Settings} settings */
function writeSettings(data, settings) {
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${String(value).replaceAll("'", "''")}'`);
  const file = join(data, 'counterfoil.conf');
  writeForServer(data, file, `# Written at each start.\n${lines.join('\n')}\n`);
  writeForServer(data, join(data, 'pg_hba.conf'), HOST_BASED_AUTHENTICATION);
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

/**
 * Whether it answers; makes our database when it is not there.
 * @param {{ host: string, port: number }} server @returns {Promise<boolean>}
 */
async function hasDatabase(server) {
  const client = new pg.Client({
    ...server,
    user: USER,
    database: 'postgres',
    ssl: false,
    // Stands in for the caller's PGOPTIONS, which may hold anything.
    options: '-c client_min_messages=warning',
    connectionTimeoutMillis: 5_000,
  });
  // A server that goes away between two answers would otherwise end this process.
  client.on('error', () => {});
  try {
    await client.connect();
    const found = await client.query('SELECT FROM pg_database WHERE datname = $1', [DATABASE]);
    if (found.rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`);
    return true;
  } catch (error) {
    // What is no SQLSTATE is a connection not yet made; another one than "not yet" is the server's last word.
    if (error instanceof pg.DatabaseError && !NOT_YET.has(String(error.code))) throw error;
    return false;
  } finally {
    await client.end().catch(() => {});
  }
}
