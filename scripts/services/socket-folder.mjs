import { createHash } from 'node:crypto';
import { readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder } from './cache-folder.mjs';
import { look } from './processes.mjs';

/** The kernel takes 107 bytes for the path of a socket; the longest below a folder of ours is /postgres/.s.PGSQL.5432. */
const LONGEST = 107 - '/postgres/.s.PGSQL.5432'.length;
const LINK = '/sockets-123456789012';

/** What needs no escape in a URL. @param {string} path @param {number} longest */
const fits = (path, longest) => /^[\w./-]+$/.test(path) && path.length <= longest;

/**
 * The folder, or where its path is too long for a socket or needs escapes, a link to it in a folder that is the user's own.
 * Only clients need it: a server names its socket from inside.
 * @param {string} folder
 */
export function socketFolder(folder) {
  if (fits(folder, LONGEST)) return folder;
  const home = cacheFolder({ shared: false, fits: (place) => fits(place, LONGEST - LINK.length) });
  const link = join(home, `sockets-${createHash('sha256').update(folder).digest('hex').slice(0, 12)}`);
  if (look(() => readlinkSync(link)) === folder) return link;
  const fresh = `${link}.${process.pid}`;
  rmSync(fresh, { force: true });
  symlinkSync(folder, fresh);
  renameSync(fresh, link);
  return link;
}
