// Private servers for `npm test`, in a sub-folder of their own: beside a running `npm start` and beside other test runs.
import { createHash } from 'node:crypto';
import { statfsSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './compile.mjs';
import { dataFolder } from './services/data-folder.mjs';
import { FolderInUseError, startServices } from './services/start-services.mjs';

const RUNS_AT_ONCE = 16;
/** Where Linux keeps files in memory. */
const SHARED_MEMORY = '/dev/shm';
const TMPFS = 0x01021994;
/** A run takes far less, most of it PostgreSQL's log. */
const ROOM_BYTES = 4 * 2 ** 30;
/** For everything else. */
const SPARE_BYTES = 4 * 2 ** 30;

/**
 * A database is some 600 files, and nearly every test file makes and drops some: on a disk's file system that is most of what the kernel
 * does in a run. So they are in memory, where there is plenty of it and nobody has named another place.
 */
function inMemory() {
  if (process.env.COUNTERFOIL_DATA_DIR || process.platform !== 'linux') return undefined;
  try {
    const { type, bavail, bsize } = statfsSync(SHARED_MEMORY);
    const hasRoom = bavail * bsize >= ROOM_BYTES && process.availableMemory() >= ROOM_BYTES + SPARE_BYTES;
    if (type !== TMPFS || !hasRoom) return undefined;
  } catch {
    return undefined;
  }
  const checkout = createHash('sha256').update(root).digest('hex').slice(0, 12);
  return join(SHARED_MEMORY, `counterfoil-${process.getuid?.()}-${checkout}`);
}

/**
 * Empty servers that may lose their data with the machine. A second run in the same checkout gets the next sub-folder.
 * @param {Omit<import('./services/start-services.mjs').StartOptions, 'name' | 'durable' | 'fresh'>} [options]
 * @returns {Promise<import('./services/start-services.mjs').Services>}
 */
export async function startTestServices(options = {}) {
  const memory = options.dataDir === undefined ? inMemory() : undefined;
  const place = memory ? { dataDir: memory, leavesNothing: true, settings: { max_wal_size: '512MB' } } : {};
  for (let run = 1; run <= RUNS_AT_ONCE; run += 1) {
    try {
      return await startServices({
        ...place,
        ...options,
        name: run === 1 ? 'test' : `test-${run}`,
        durable: false,
        fresh: true,
      });
    } catch (error) {
      if (!(error instanceof FolderInUseError)) throw error;
    }
  }
  throw new Error(
    `${RUNS_AT_ONCE} test runs use ${options.dataDir ?? memory ?? dataFolder()} already; wait for one to end.`,
  );
}
