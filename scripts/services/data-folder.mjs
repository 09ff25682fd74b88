// The data folder: one sub-folder per set of servers (demo, test, …), which nobody but the user may enter. It holds the servers'
// files and their sockets.
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ServicesError } from './services-error.mjs';

const checkout = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const defaultFolder = join(checkout, '.counterfoil');
const SIGN = 'COUNTERFOIL-DATA';
const SIGN_TEXT =
  'Counterfoil keeps the data of its private servers here. `npm run reset` deletes everything in this folder.\n';

/** @param {NodeJS.ProcessEnv} [env] */
export function dataFolder(env = process.env) {
  return env.COUNTERFOIL_DATA_DIR ? resolve(env.COUNTERFOIL_DATA_DIR) : defaultFolder;
}

/** Whether `npm run reset` may empty the folder: a mistyped COUNTERFOIL_DATA_DIR must not cost a home directory. @param {string} folder */
export function isDataFolder(folder) {
  return (
    folder === defaultFolder ||
    existsSync(join(folder, SIGN)) ||
    readdirSync(folder).every((entry) => entry === 'lost+found')
  );
}

/**
 * Creates the data folder and the sub-folder where they are missing.
 * @param {string} folder @param {string} name
 * @returns {string} the sub-folder
 */
export function openSubFolder(folder, name) {
  if (!/^[a-z][a-z0-9-]*$/.test(name))
    throw new ServicesError(`"${name}" cannot name a set of services: use a-z, 0-9 and -.`);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (!isDataFolder(folder)) {
      throw new ServicesError(
        `${folder} holds other files; set COUNTERFOIL_DATA_DIR to an empty folder or to one that does not exist.`,
      );
    }
    if (!existsSync(join(folder, SIGN))) writeFileSync(join(folder, SIGN), SIGN_TEXT);
    const subFolder = join(folder, name);
    mkdirSync(subFolder, { recursive: true, mode: 0o700 });
    refuseForeignOwner(subFolder);
    chmodSync(subFolder, 0o700);
    return subFolder;
  } catch (error) {
    if (error instanceof ServicesError) throw error;
    const reason = /** @type {Error} */ (error).message;
    throw new ServicesError(
      `The data folder ${folder} cannot be used (${reason}); set COUNTERFOIL_DATA_DIR to a folder you may write to.`,
      { cause: error },
    );
  }
}

/** @param {string} folder */
function refuseForeignOwner(folder) {
  const owner = statSync(folder).uid;
  const self = process.getuid?.() ?? owner;
  if (owner === self) return;
  throw new ServicesError(
    `The data folder ${folder} belongs to user id ${owner} and this is user id ${self}; run as its owner, delete it, or set COUNTERFOIL_DATA_DIR to another folder.`,
  );
}
