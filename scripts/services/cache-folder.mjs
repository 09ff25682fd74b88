// The user's own folder for copies of server programs and short names of sockets, shared by all checkouts and untouched by
// `npm run reset`.
import { randomBytes } from 'node:crypto';
import { chmodSync, lstatSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { ServicesError } from './services-error.mjs';

const ABANDONED_MS = 3_600_000;
const OTHERS_MAY_WRITE = 0o022;

/**
 * The first of the usual places that can be used.
 * @param {{ shared: boolean, fits?: (place: string) => boolean }} options
 *   shared: other users can reach it (a home directory is often closed to them)
 */
export function cacheFolder({ shared, fits = () => true }) {
  const uid = process.getuid?.() ?? 'user';
  const home = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  const places = [
    process.env.COUNTERFOIL_CACHE_DIR && resolve(process.env.COUNTERFOIL_CACHE_DIR),
    !shared && join(home, 'counterfoil'),
    `/var/tmp/counterfoil-${uid}`,
    join(tmpdir(), `counterfoil-${uid}`),
  ].filter((place) => typeof place === 'string' && place !== '' && fits(place));
  for (const place of places) {
    if (isUsable(/** @type {string} */ (place), shared)) return /** @type {string} */ (place);
  }
  throw new ServicesError(
    `None of ${places.join(', ')} can be written; set COUNTERFOIL_CACHE_DIR to a folder of your own with a short path.`,
  );
}

/** Programs are run from here, so the folder must be ours alone to write. @param {string} place @param {boolean} shared */
function isUsable(place, shared) {
  try {
    // mkdir answers undefined for a folder that was there; one of our own making is opened whatever the umask says.
    if (mkdirSync(place, { recursive: true })) chmodSync(place, shared ? 0o755 : 0o700);
    const { uid, mode } = lstatSync(place);
    if (uid !== process.getuid?.() || (mode & OTHERS_MAY_WRITE) !== 0 || !lstatSync(place).isDirectory()) return false;
    const probe = join(place, `.probe-${randomBytes(4).toString('hex')}`);
    mkdirSync(probe);
    rmSync(probe, { recursive: true });
    return true;
  } catch {
    return false;
  }
}

/**
 * Makes a folder whole or not at all: `fill` works on a fresh neighbour, which then takes the name. When several do so
 * at once, the first one stays.
 * @param {string} folder @param {(fresh: string) => Promise<void> | void} fill
 */
export async function makeAtomically(folder, fill) {
  removeAbandoned(folder);
  const fresh = `${folder}.new-${process.pid}-${randomBytes(4).toString('hex')}`;
  try {
    mkdirSync(fresh);
    chmodSync(fresh, 0o755);
    await fill(fresh);
    try {
      renameSync(fresh, folder);
    } catch (error) {
      const { code } = /** @type {NodeJS.ErrnoException} */ (error);
      if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
    }
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

/** What a killed process left half made. @param {string} folder */
function removeAbandoned(folder) {
  for (const entry of readdirSync(dirname(folder))) {
    const path = join(dirname(folder), entry);
    if (!entry.startsWith(`${basename(folder)}.new-`)) continue;
    const { mtimeMs } = lstatSync(path, { throwIfNoEntry: false }) ?? { mtimeMs: Number.POSITIVE_INFINITY };
    if (Date.now() - mtimeMs > ABANDONED_MS) rmSync(path, { recursive: true, force: true });
  }
}
