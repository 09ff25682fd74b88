// Finds a Redis (or Valkey) server program: on PATH, else Debian's packages, unpacked privately and kept in the user's cache.
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { cacheFolder, makeAtomically } from './cache-folder.mjs';
import { unpackDebianRedis } from './debian-redis.mjs';
import { runProgram, serverEnvironment } from './processes.mjs';
import { ServicesError } from './services-error.mjs';

const PROBE_MS = 20_000;
const SERVERS = ['redis-server', 'valkey-server'];
const USUAL_FOLDERS = ['/usr/local/bin', '/usr/bin', '/usr/sbin', '/usr/local/sbin'];

const ADVICE =
  'Install Redis or Valkey with your package manager (for example `apt install redis-server`, `dnf install valkey`), or set REDIS_URL (cache) and REDIS_QUEUE_URL (queue, maxmemory-policy noeviction) to running servers.';

/** @typedef {{ file: string, env: NodeJS.ProcessEnv }} RedisProgram */

/**
 * @param {{ onNotice?: (message: string) => void }} [options] told before a download
 * @returns {Promise<RedisProgram>}
 */
export async function findRedis({ onNotice } = {}) {
  const onPath = programOnPath();
  if (onPath) return onPath;
  const unpacked = join(cacheFolder({ shared: false }), `redis-debian-${process.arch}`);
  const cached = programIn(unpacked);
  if (cached && (await whyNotRunnable(cached)) === undefined) return cached;
  return fetchInto(unpacked, onNotice);
}

/** @param {string} unpacked @param {((message: string) => void) | undefined} onNotice @returns {Promise<RedisProgram>} */
async function fetchInto(unpacked, onNotice) {
  onNotice?.(
    "There is no Redis on this machine: fetching Debian's packages once into a private cache (nothing is installed).",
  );
  let problem = 'the packages held no server';
  // A copy that has stopped running (an upgraded system, a cleaned cache) keeps its name; a numbered neighbour replaces it.
  for (let number = 1; number <= 9; number += 1) {
    const folder = number === 1 ? unpacked : `${unpacked}-${number}`;
    if (!existsSync(folder)) {
      try {
        await makeAtomically(folder, unpackDebianRedis);
      } catch (error) {
        throw new ServicesError(
          `Redis is missing and could not be fetched, which needs the network once: ${/** @type {Error} */ (error).message}\n${ADVICE}`,
          { cause: error },
        );
      }
    }
    const program = programIn(folder);
    const why = program ? await whyNotRunnable(program) : undefined;
    if (program && why === undefined) return program;
    problem = why ?? problem;
  }
  throw new ServicesError(`Redis is missing and the fetched one does not run: ${problem}\n${ADVICE}`);
}

/** @returns {RedisProgram | undefined} */
function programOnPath() {
  const folders = [...(process.env.PATH ?? '').split(delimiter).filter(Boolean), ...USUAL_FOLDERS];
  for (const folder of folders) {
    for (const server of SERVERS) {
      if (isExecutable(join(folder, server))) return { file: join(folder, server), env: serverEnvironment() };
    }
  }
  return undefined;
}

/** @param {string} unpacked @returns {RedisProgram | undefined} */
function programIn(unpacked) {
  const file = SERVERS.map((server) => join(unpacked, 'usr', 'bin', server)).find(isExecutable);
  if (!file) return undefined;
  const libraries = ['usr/lib', 'lib'].flatMap((folder) => {
    const parent = join(unpacked, folder);
    const triplets = existsSync(parent) ? readdirSync(parent).filter((entry) => entry.includes('-linux-gnu')) : [];
    return triplets.map((triplet) => join(parent, triplet));
  });
  return { file, env: { ...serverEnvironment(), LD_LIBRARY_PATH: libraries.join(delimiter) } };
}

/** @param {RedisProgram} program @returns {Promise<string | undefined>} */
async function whyNotRunnable({ file, env }) {
  const { code, output, error } = await runProgram(file, ['--version'], { env, limitMs: PROBE_MS });
  return code === 0 ? undefined : error?.message || output.trim() || `exit code ${code}`;
}

/** @param {string} file */
function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
