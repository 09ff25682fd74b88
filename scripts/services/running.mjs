// What runs on the data folder just now: whoever started it (`npm start`, `npm run services`) writes it down, so that every
// other command of the checkout finds it, whatever ports it took.
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dataFolder } from './data-folder.mjs';
import { isRunning, processFacts } from './processes.mjs';

/**
 * As a command's environment has it: DATABASE_URL and more of that kind; COUNTERFOIL_URL and COUNTERFOIL_OPERATOR_KEY only
 * where an API runs.
 * @typedef {Record<string, string | undefined>} Running
 */

/** @param {string} folder */
const fileIn = (folder) => join(folder, 'running.json');

/**
 * Written whole or not at all, and taken back when this process ends. After kill -9 it stays, and whoever reads it finds
 * that the process is gone.
 * @param {string} folder the sub-folder of the data folder @param {Running} running
 */
export function announceRunning(folder, running) {
  const file = fileIn(folder);
  const told = { pid: process.pid, startTicks: processFacts(process.pid)?.startTicks, env: running };
  writeFileSync(`${file}.new`, `${JSON.stringify(told, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
  process.once('exit', () => {
    // Two starts with servers of one's own share the folder: the later one's word stays.
    if (read(file)?.pid === process.pid) rmSync(file, { force: true });
  });
}

/** @returns {Running | undefined} what a living process announced */
export function findRunning() {
  const told = read(fileIn(join(dataFolder(), 'demo')));
  return told && isRunning(told) ? told.env : undefined;
}

/** @param {string} file */
function read(file) {
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
}

/**
 * Has this command work on what runs here, unless the environment names a place: then nothing of ours is mixed in, neither
 * an address nor a key. Ends the process when there is nothing to work on; exit code 2, for nothing was found out.
 * @param {string[]} place variables of which one is enough @param {string} starter what brings it
 */
function useRunning(place, starter) {
  if (place.some((name) => process.env[name])) return;
  const running = findRunning() ?? {};
  if (place.some((name) => running[name])) {
    Object.assign(process.env, running);
    return;
  }
  console.error(
    `counterfoil: nothing runs in this checkout. Run ${starter} first, in another terminal, or set ${place.at(-1)}.`,
  );
  process.exit(2);
}

export const useRunningApi = () => useRunning(['COUNTERFOIL_URL'], '`npm start`');

/** For a command that reads or writes the database directly. @param {string[]} [place] */
export function useRunningDatabase(place = ['DATABASE_RUNTIME_URL', 'DATABASE_URL']) {
  useRunning(place, '`npm start` or `npm run services`');
}
