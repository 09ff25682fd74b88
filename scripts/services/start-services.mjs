// The private servers of one sub-folder of the data folder: PostgreSQL and two Redis roles, each only where the
// environment does not name one.
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { dataFolder, openSubFolder } from './data-folder.mjs';
import { claimFolder } from './folder-lock.mjs';
import { startPostgres } from './postgres-server.mjs';
import { stopOrphans } from './private-server.mjs';
import { findRedis } from './redis-binaries.mjs';
import { startRedis } from './redis-server.mjs';
import { ServicesError } from './services-error.mjs';

/**
 * @typedef {object} Services
 * @property {string} databaseUrl its user owns the database and may create roles
 * @property {string} redisUrl cache role
 * @property {string} redisQueueUrl queue role
 * @property {Promise<Error>} lost settles when a private server ends although nobody stopped it
 * @property {() => Promise<void>} stop stops the private servers and frees the folder; a second call waits for the first
 */

/** Somebody else holds the folder. */
export class FolderInUseError extends ServicesError {
  /** @override */
  name = 'FolderInUseError';
}

/**
 * @typedef {object} StartOptions
 * @property {string} [dataDir] default: COUNTERFOIL_DATA_DIR, else <checkout>/.counterfoil
 * @property {string} [name] the sub-folder, default `demo`
 * @property {boolean} [durable] false: data may be lost when the machine (not merely a process) stops
 * @property {boolean} [fresh] true: delete what the sub-folder holds first
 * @property {boolean} [leavesNothing] true: delete it as well when the servers have been stopped
 * @property {Record<string, string | number | boolean>} [settings] PostgreSQL settings on top of ours
 * @property {NodeJS.ProcessEnv} [env]
 * @property {(message: string) => void} [onNotice] told of what takes long
 */

/**
 * Starts what the environment does not name. Keeps data from earlier starts; a server that an earlier starter left
 * running on this folder (because it was killed) is stopped first.
 * @param {StartOptions} [options]
 * @returns {Promise<Services>}
 * @throws {FolderInUseError} another starter lives on this sub-folder
 * @throws {ServicesError} what the user can do something about
 */
export async function startServices({
  env = process.env,
  dataDir = dataFolder(env),
  name = 'demo',
  durable = true,
  fresh = false,
  leavesNothing = false,
  settings = {},
  onNotice,
} = {}) {
  // Empty counts as absent.
  const databaseUrl = env.DATABASE_URL || undefined;
  const redisUrl = env.REDIS_URL || undefined;
  const redisQueueUrl = env.REDIS_QUEUE_URL || undefined;
  if (databaseUrl && redisUrl && redisQueueUrl) {
    return { databaseUrl, redisUrl, redisQueueUrl, lost: new Promise(() => {}), stop: async () => {} };
  }

  const { folder, release } = await claim(dataDir, name);
  /** @type {import('./private-server.mjs').PrivateServer[]} */
  const servers = [];
  /** @type {Promise<Error>[]} */
  const losses = [];
  /** @type {Promise<void> | undefined} */
  let stopped;
  const stop = () => {
    stopped ??= stopAll(servers)
      .then(() => {
        if (leavesNothing) empty(folder);
      })
      .finally(release);
    return stopped;
  };
  /** @param {string} service @param {Promise<import('./private-server.mjs').PrivateServer>} starting */
  const keep = async (service, starting) => {
    const server = await starting;
    servers.push(server);
    losses.push(server.ended.then((how) => (stopped ? new Promise(() => {}) : lostError(service, folder, how))));
    return server.url;
  };

  try {
    await stopOrphans(folder);
    if (fresh) empty(folder);
    const program = redisUrl && redisQueueUrl ? undefined : findRedis({ onNotice });
    /** @param {'cache' | 'queue'} role */
    const redis = async (role) => {
      const found = /** @type {import('./redis-binaries.mjs').RedisProgram} */ (await program);
      return startRedis({ folder, role, durable, program: found });
    };
    const [database = '', cache = '', queue = ''] = await settleAll([
      databaseUrl ?? keep('postgres', startPostgres({ folder, name, durable, settings })),
      redisUrl ?? keep('redis-cache', redis('cache')),
      redisQueueUrl ?? keep('redis-queue', redis('queue')),
    ]);
    return { databaseUrl: database, redisUrl: cache, redisQueueUrl: queue, lost: Promise.race(losses), stop };
  } catch (error) {
    await stop().catch(() => {});
    throw error;
  }
}

/** @param {string} folder */
function empty(folder) {
  for (const entry of readdirSync(folder)) rmSync(join(folder, entry), { recursive: true, force: true });
}

/** @param {import('./private-server.mjs').PrivateServer[]} servers */
async function stopAll(servers) {
  await settleAll(servers.map((server) => server.stop()));
}

/** As our programs read it. @param {Services} services */
export function serviceEnvironment({ databaseUrl, redisUrl, redisQueueUrl }) {
  return { DATABASE_URL: databaseUrl, REDIS_URL: redisUrl, REDIS_QUEUE_URL: redisQueueUrl };
}

/** Which servers the environment does not name, in words. @param {NodeJS.ProcessEnv} [env] */
export function privateServers(env = process.env) {
  const wanted = [!env.DATABASE_URL && 'PostgreSQL', !(env.REDIS_URL && env.REDIS_QUEUE_URL) && 'Redis'];
  return wanted.filter((name) => name !== false);
}

/** @param {string} dataDir @param {string} name */
async function claim(dataDir, name) {
  const folder = openSubFolder(dataDir, name);
  const claimed = await claimFolder(folder, `services "${name}"`);
  if ('release' in claimed) return { folder, release: claimed.release };
  throw new FolderInUseError(
    `The data folder ${folder} is in use by ${claimed.heldBy}; stop that one first, or set COUNTERFOIL_DATA_DIR to another folder.`,
  );
}

/** @param {string} service @param {string} folder @param {string} how */
function lostError(service, folder, how) {
  return new ServicesError(
    `The private ${service} has gone (${how}). See ${join(folder, `${service}.log`)}, then start again.`,
  );
}

/** Like Promise.all, but nothing is left under way when one fails. @template T @param {(T | Promise<T>)[]} starts @returns {Promise<T[]>} */
async function settleAll(starts) {
  const outcomes = await Promise.allSettled(starts);
  return outcomes.map((outcome) => {
    if (outcome.status === 'rejected') throw outcome.reason;
    return outcome.value;
  });
}
