import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isDataFolder } from './data-folder.mjs';
import { claimFolder } from './folder-lock.mjs';
import { stopOrphans } from './private-server.mjs';
import { ServicesError } from './services-error.mjs';

/**
 * Empties the data folder. Claims every sub-folder before it deletes the first, so that it is all or nothing.
 * @param {string} folder
 * @returns {Promise<boolean>} whether there was anything
 */
export async function resetData(folder) {
  if (!existsSync(folder)) return false;
  if (!isDataFolder(folder)) {
    throw new ServicesError(
      `${folder} does not look like a data folder of Counterfoil, so nothing was deleted; check COUNTERFOIL_DATA_DIR.`,
    );
  }
  const subFolders = readdirSync(folder)
    .map((entry) => join(folder, entry))
    .filter((path) => statSync(path).isDirectory());
  /** @type {{ release: () => Promise<void> }[]} */
  const claims = [];
  try {
    for (const subFolder of subFolders) {
      const claimed = await claimFolder(subFolder, 'reset');
      if ('heldBy' in claimed)
        throw new ServicesError(
          `${subFolder} is in use by ${claimed.heldBy}; stop that one first. Nothing was deleted.`,
        );
      claims.push(claimed);
    }
    for (const subFolder of subFolders) await stopOrphans(subFolder);
    const entries = readdirSync(folder);
    for (const entry of entries) rmSync(join(folder, entry), { recursive: true, force: true });
    return entries.length > 0;
  } finally {
    await Promise.all(claims.map(({ release }) => release()));
  }
}
