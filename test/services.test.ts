import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { portFor, portOrNext } from '../scripts/ports.mjs';
import { processFacts, runningProcesses } from '../scripts/services/processes.mjs';
import { askRedis } from '../scripts/services/redis-wire.mjs';
import { resetData } from '../scripts/services/reset-data.mjs';
import { privateServers, startServices } from '../scripts/services/start-services.mjs';
import { until } from '../scripts/services/until.mjs';
import { startTestServices } from '../scripts/vitest-services.mjs';

const ROOT = join(import.meta.dirname, '..');
const SUPERVISOR_LIMIT_MS = 60_000;
const END_LIMIT_MS = 20_000;

type Urls = { databaseUrl: string; redisUrl: string; redisQueueUrl: string };
type Supervisor = Urls & { launcher: ChildProcess };

const folders: string[] = [];
const cleanUps: (() => Promise<unknown> | unknown)[] = [];

function newDataDir(): string {
  const folder = mkdtempSync(join(tmpdir(), 'counterfoil-services-'));
  folders.push(folder);
  return folder;
}

/** Starts without the servers that the test run itself may have. */
async function start(dataDir: string, options: { name?: string; fresh?: boolean } = {}) {
  const services = await startServices({ dataDir, env: {}, durable: false, ...options });
  cleanUps.push(() => services.stop());
  return services;
}

async function sql(databaseUrl: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: databaseUrl });
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end().catch(() => {});
  }
}

function redis(url: string, ...commands: string[]): Promise<string> {
  return askRedis(String(new URL(url).searchParams.get('path')), commands);
}

async function processIds({ databaseUrl, redisUrl, redisQueueUrl }: Urls, dataDir: string) {
  await sql(databaseUrl, 'SELECT 1');
  const postmaster = Number(readFileSync(join(dataDir, 'demo/postgres/postmaster.pid'), 'utf8').split('\n')[0]);
  const redisIds = await Promise.all(
    [redisUrl, redisQueueUrl].map(async (url) => Number(/process_id:(\d+)/.exec(await redis(url, 'INFO server'))?.[1])),
  );
  return [postmaster, ...redisIds];
}

function worksBelow(pid: number, folder: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/cwd`).startsWith(folder);
  } catch {
    return false;
  }
}

const isAlive = (pid: number) => processFacts(pid) !== undefined;

/** `npm run services` on the folder, once it has printed its URLs. */
async function startSupervisor(dataDir: string): Promise<Supervisor> {
  const { DATABASE_URL, REDIS_URL, REDIS_QUEUE_URL, ...env } = process.env;
  const launcher = spawn(process.execPath, [join(ROOT, 'scripts/run.mjs'), 'services'], {
    env: { ...env, COUNTERFOIL_DATA_DIR: dataDir },
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: SUPERVISOR_LIMIT_MS,
    killSignal: 'SIGKILL',
  });
  const printed: Record<string, string> = {};
  for await (const line of createInterface({ input: launcher.stdout })) {
    const [, name, value] = /^export (\w+)='(.*)'$/.exec(line) ?? [];
    if (name && value) printed[name] = value;
    if (name === 'REDIS_QUEUE_URL') break;
  }
  const { DATABASE_URL: databaseUrl, REDIS_URL: redisUrl, REDIS_QUEUE_URL: redisQueueUrl } = printed;
  if (!databaseUrl || !redisUrl || !redisQueueUrl)
    throw new Error(`npm run services printed only ${Object.keys(printed)}`);
  return { launcher, databaseUrl, redisUrl, redisQueueUrl };
}

/** kill -9 of the launcher and of the supervisor under it, at the same moment. */
async function killSupervisor({ launcher }: Supervisor): Promise<void> {
  const launcherId = Number(launcher.pid);
  const children = readFileSync(`/proc/${launcherId}/task/${launcherId}/children`, 'utf8')
    .trim()
    .split(' ')
    .map(Number);
  for (const pid of [...children, launcherId]) process.kill(pid, 'SIGKILL');
  const ended = await until(END_LIMIT_MS, () => children.every((pid) => !isAlive(pid)));
  expect(ended, 'the supervisor ends after kill -9').toBe(true);
}

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

describe('private servers', () => {
  let dataDir: string;

  beforeAll(() => {
    dataDir = newDataDir();
  });

  it('keep data, URLs and the queue over stop and start', async () => {
    const first = await start(dataDir);
    await sql(first.databaseUrl, 'CREATE TABLE kept AS SELECT 42 AS answer');
    await redis(first.redisQueueUrl, 'SET kept 42');
    await first.stop();

    const second = await start(dataDir);
    expect(await sql(second.databaseUrl, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }]);
    expect(await redis(second.redisQueueUrl, 'GET kept')).toContain('\r\n42\r\n');
    expect([second.databaseUrl, second.redisUrl, second.redisQueueUrl]).toEqual([
      first.databaseUrl,
      first.redisUrl,
      first.redisQueueUrl,
    ]);
  });

  it('are what the ledger asks for', async () => {
    const { databaseUrl, redisUrl, redisQueueUrl } = await start(dataDir);
    const [facts] = await sql(
      databaseUrl,
      `SELECT current_user AS "user", current_database() AS "database", pg_encoding_to_char(encoding) AS encoding,
              datlocprovider AS provider, current_setting('data_checksums') AS checksums, current_setting('fsync') AS fsync,
              current_setting('synchronous_commit') AS synchronous_commit, current_setting('max_connections') AS max_connections,
              current_setting('listen_addresses') AS listen_addresses, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS super
         FROM pg_database WHERE datname = current_database()`,
    );
    expect(facts).toEqual({
      user: 'counterfoil',
      database: 'counterfoil',
      encoding: 'UTF8',
      provider: 'b',
      checksums: 'on',
      fsync: 'off',
      synchronous_commit: 'on',
      max_connections: '200',
      listen_addresses: '',
      super: true,
    });
    const wanted = ['CONFIG GET maxmemory-policy', 'CONFIG GET appendonly'];
    expect(await redis(redisUrl, ...wanted)).toMatch(/volatile-lru\r\n.*no\r\n/s);
    expect(await redis(redisQueueUrl, ...wanted)).toMatch(/noeviction\r\n.*yes\r\n/s);
    expect(await redis(redisUrl, 'CONFIG GET port')).toMatch(/port\r\n\$1\r\n0\r\n/);
    // Who may enter the folder may do everything.
    expect(statSync(join(dataDir, 'demo')).mode & 0o777).toBe(0o700);
  });

  it('are refused to a second starter on the same folder, who is told who holds it', async () => {
    await start(dataDir);
    await expect(start(dataDir)).rejects.toThrow(`is in use by services "demo" (process ${process.pid})`);
    await expect(resetData(dataDir)).rejects.toThrow('Nothing was deleted');
  });

  it('are reached by a short name where the path of their folder is too long for a socket, or needs escapes', async () => {
    const deep = join(newDataDir(), 'a folder of mine & more', 'deep'.repeat(30));
    const { databaseUrl, redisUrl } = await start(deep);
    expect(databaseUrl).not.toContain('deep');
    expect(await sql(databaseUrl, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    expect(await redis(redisUrl, 'PING')).toContain('+PONG');
  });

  it('run for two data folders at once', async () => {
    const [one, other] = await Promise.all([start(dataDir), start(newDataDir())]);
    await sql(other.databaseUrl, 'CREATE TABLE only_here (id int)');
    expect(await sql(one.databaseUrl, "SELECT to_regclass('only_here') AS found")).toEqual([{ found: null }]);
  });

  it('take the next sub-folder for a second test run in the same checkout', async () => {
    const runs = await Promise.all([1, 2].map(() => startTestServices({ dataDir, env: {} })));
    for (const run of runs) cleanUps.push(() => run.stop());
    expect(new Set(runs.map((run) => run.databaseUrl)).size).toBe(2);
    const keptIn = () => ['test', 'test-2'].map((name) => existsSync(join(dataDir, name, 'postgres')));
    expect(keptIn()).toEqual([true, true]);
    // A folder that somebody named is not emptied behind him.
    await Promise.all(runs.map((run) => run.stop()));
    expect(keptIn()).toEqual([true, true]);
  });

  it('say what the log says when a setting is wrong, and free the folder', async () => {
    const wrong = startServices({ dataDir, env: {}, durable: false, settings: { shared_buffers: 'plenty' } });
    await expect(wrong).rejects.toThrow(
      /PostgreSQL did not start: PostgreSQL ended \(code 1\) before it was ready\..*invalid value for parameter "shared_buffers"/s,
    );
    await start(dataDir);
  });

  it('start over when asked for fresh ones', async () => {
    const { databaseUrl } = await start(dataDir, { fresh: true });
    expect(await sql(databaseUrl, "SELECT to_regclass('kept') AS found")).toEqual([{ found: null }]);
  });

  it('tell their supervisor when one of them dies', async () => {
    const services = await start(dataDir);
    const [postmaster] = await processIds(services, dataDir);
    process.kill(Number(postmaster), 'SIGKILL');
    expect((await services.lost).message).toContain('The private postgres has gone (SIGKILL)');
  });

  it('never signal a stranger who got the pid of a dead server', async () => {
    await (await start(dataDir)).stop();
    const { uid, gid } = statSync(join(dataDir, 'demo/postgres'));
    // Of the same account as the server, which is when PostgreSQL itself would take it for a running postmaster.
    const stranger = spawn('sleep', ['60'], process.getuid?.() === 0 ? { uid, gid } : {});
    cleanUps.push(() => stranger.kill());
    const pidFile = join(dataDir, 'demo/postgres/postmaster.pid');
    writeFileSync(pidFile, `${stranger.pid}\n/proc/self/cwd\n1\n5432\n\n127.0.0.1\n        0         0\nready   \n`);

    const { databaseUrl } = await start(dataDir);
    expect(await sql(databaseUrl, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    expect(isAlive(Number(stranger.pid))).toBe(true);
  });

  it('are not started where the environment names them', async () => {
    const env = { DATABASE_URL: 'postgresql://db/x', REDIS_URL: 'redis://cache', REDIS_QUEUE_URL: 'redis://queue' };
    const untouched = join(newDataDir(), 'none');
    const services = await startServices({ dataDir: untouched, env });
    expect(services).toMatchObject({
      databaseUrl: 'postgresql://db/x',
      redisUrl: 'redis://cache',
      redisQueueUrl: 'redis://queue',
    });
    expect(existsSync(untouched)).toBe(false);
    await services.stop();
  });
});

describe('npm run services', () => {
  it('after kill -9 of the supervisor the next start replaces the orphans and keeps the data', async () => {
    const dataDir = newDataDir();
    const killed = await startSupervisor(dataDir);
    await sql(killed.databaseUrl, 'CREATE TABLE kept AS SELECT 42 AS answer');
    const orphans = await processIds(killed, dataDir);
    await killSupervisor(killed);
    expect(orphans.map(isAlive), 'the servers outlive their supervisor').toEqual([true, true, true]);

    const next = await startSupervisor(dataDir);
    expect(orphans.map(isAlive), 'the orphans are gone').toEqual([false, false, false]);
    expect(await sql(next.databaseUrl, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }]);

    // Now everything at once, the servers included.
    await sql(next.databaseUrl, 'INSERT INTO kept VALUES (43)');
    const servers = await processIds(next, dataDir);
    await killSupervisor(next);
    for (const pid of servers) process.kill(pid, 'SIGKILL');

    const last = await startSupervisor(dataDir);
    expect(await sql(last.databaseUrl, 'SELECT answer FROM kept ORDER BY answer')).toEqual([
      { answer: 42 },
      { answer: 43 },
    ]);
    const lastServers = await processIds(last, dataDir);
    last.launcher.kill('SIGTERM');
    const [code] = await once(last.launcher, 'exit');
    expect(code).toBe(0);
    expect(lastServers.map(isAlive)).toEqual([false, false, false]);
  });

  it('stops its servers when only the launcher is killed', async () => {
    const dataDir = newDataDir();
    const supervisor = await startSupervisor(dataDir);
    const servers = await processIds(supervisor, dataDir);
    supervisor.launcher.kill('SIGKILL');
    expect(await until(END_LIMIT_MS, () => !servers.some(isAlive))).toBe(true);
  });
});

describe('a supervisor that leaves while its servers start', () => {
  /** It has claimed the folder and launched PostgreSQL, which does not answer yet. */
  const LEAVES = `
    import { existsSync } from 'node:fs';
    import { startServices } from '${join(ROOT, 'scripts/services/start-services.mjs')}';
    const { DATA_DIR: dataDir = '' } = process.env;
    setInterval(() => existsSync(dataDir + '/demo/postgres/postmaster.pid') && process.exit(7), 1);
    await startServices({ dataDir, env: {}, durable: false });
    process.exit(8);
  `;

  it('leaves none of them behind', async () => {
    const dataDir = newDataDir();
    const supervisor = spawn(process.execPath, ['--input-type=module', '--eval', LEAVES], {
      env: { ...process.env, DATA_DIR: dataDir },
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    expect(await once(supervisor, 'exit')).toEqual([7, null]);
    const working = () => runningProcesses().filter(({ pid }) => worksBelow(pid, dataDir));
    expect(await until(END_LIMIT_MS, () => working().length === 0), JSON.stringify(working())).toBe(true);
  });
});

describe('resetData', () => {
  it('empties a data folder and stops what a killed supervisor left there', async () => {
    const dataDir = newDataDir();
    const killed = await startSupervisor(dataDir);
    const orphans = await processIds(killed, dataDir);
    await killSupervisor(killed);
    expect(await resetData(dataDir)).toBe(true);
    expect(orphans.map(isAlive)).toEqual([false, false, false]);
    expect(existsSync(join(dataDir, 'demo'))).toBe(false);
    expect(await resetData(dataDir)).toBe(false);
  });

  it('leaves a folder alone that is not ours', async () => {
    const folder = newDataDir();
    writeFileSync(join(folder, 'letter.txt'), 'mine');
    await expect(resetData(folder)).rejects.toThrow('nothing was deleted');
    await expect(start(folder)).rejects.toThrow('holds other files');
    expect(existsSync(join(folder, 'letter.txt'))).toBe(true);
  });
});

describe('portOrNext', () => {
  it('gives the preferred port when free, else the next free one', async () => {
    const taker = createServer().listen(0);
    await once(taker, 'listening');
    const { port } = taker.address() as { port: number };
    expect(await portOrNext(port)).toBeGreaterThan(port);
    await new Promise((resolve) => taker.close(resolve));
    expect(await portOrNext(port)).toBe(port);
  });
});

describe('portFor', () => {
  it('takes the next free port where none is asked for, and says so', async () => {
    const taker = createServer().listen(0);
    await once(taker, 'listening');
    const { port: preferred } = taker.address() as { port: number };
    const said: string[] = [];
    const port = await portFor({ setting: 'NO_SUCH_PORT', preferred, say: (message) => said.push(message) });
    taker.close();
    expect(port).toBeGreaterThan(preferred);
    expect(said).toEqual([`port ${preferred} is taken, so this is port ${port} (NO_SUCH_PORT asks for another).`]);
  });
});

describe('privateServers', () => {
  it('names only those that the environment does not', () => {
    const [DATABASE_URL, REDIS_URL, REDIS_QUEUE_URL] = ['postgres://db/x', 'redis://cache', 'redis://queue'];
    expect(privateServers({})).toEqual(['PostgreSQL', 'Redis']);
    expect(privateServers({ DATABASE_URL, REDIS_URL })).toEqual(['Redis']);
    expect(privateServers({ DATABASE_URL, REDIS_URL, REDIS_QUEUE_URL })).toEqual([]);
  });
});
