// Fetches Debian's (or Ubuntu's) redis-server with apt, checks included, without root and without touching the system:
// apt's cache, and where needed its package lists, lie in a private folder, and the packages are unpacked, not installed.
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { runProgram } from './processes.mjs';

const UPDATE_MS = 180_000;
const DOWNLOAD_MS = 180_000;
const UNPACK_MS = 60_000;

/** When apt cannot say what is missing here (its resolver stops at a half-installed system). */
const USUAL_PACKAGES = ['redis-server', 'redis-tools', 'libjemalloc2', 'liblzf1', 'libatomic1'];

/** @param {string} folder an empty folder, filled with usr/bin/redis-server and its libraries */
export async function unpackDebianRedis(folder) {
  for (const tool of ['apt-get', 'dpkg-deb']) {
    if (!existsSync(`/usr/bin/${tool}`)) throw new Error(`this system has no ${tool} to fetch it with.`);
  }
  const work = join(folder, 'download');
  mkdirSync(join(work, 'archives', 'partial'), { recursive: true });
  await download(work);
  const packages = readdirSync(work).filter((file) => file.endsWith('.deb'));
  for (const file of packages)
    await run('dpkg-deb', ['-x', join(work, file), folder], { cwd: work, limitMs: UNPACK_MS });
  rmSync(work, { recursive: true });
}

/** With the system's package lists, else (they are missing, closed or out of date) with private ones. @param {string} work */
async function download(work) {
  const privateCache = [
    `Dir::Cache=${work}`,
    'APT::Sandbox::User=root',
    'Debug::NoLocking=true',
    'Acquire::Retries=2',
    'Acquire::http::Timeout=20',
    'Acquire::https::Timeout=20',
  ];
  try {
    await downloadWith(privateCache, work);
    return;
  } catch {
    // Private lists are tried next, and their error says more.
  }
  const state = join(work, 'state');
  mkdirSync(join(state, 'lists', 'partial'), { recursive: true });
  const privateState = [
    ...privateCache,
    `Dir::State=${state}`,
    'Dir::State::status=/var/lib/dpkg/status',
    'Acquire::Languages=none',
  ];
  await run('apt-get', [...options(privateState), '-q', 'update'], { cwd: work, limitMs: UPDATE_MS });
  await downloadWith(privateState, work);
}

/** @param {string[]} settings @param {string} work */
async function downloadWith(settings, work) {
  const packages = await missingPackages(settings, work);
  await run('apt-get', [...options(settings), '-q', 'download', ...packages], { cwd: work, limitMs: DOWNLOAD_MS });
}

/** redis-server and what it needs and this system lacks. @param {string[]} settings @param {string} work */
async function missingPackages(settings, work) {
  const args = [...options(settings), '-s', '--no-install-recommends', 'install', 'redis-server'];
  const { code, output } = await runProgram('apt-get', args, { cwd: work, env: environment(), limitMs: DOWNLOAD_MS });
  const names = [...output.matchAll(/^Inst (\S+) /gm)].map(([, name]) => String(name));
  if (code !== 0 || !names.includes('redis-server')) return USUAL_PACKAGES;
  // The server is a link into redis-tools, which is needed here even where the system has it.
  return [...new Set([...names, 'redis-tools'])];
}

/** @param {string[]} settings */
const options = (settings) => settings.flatMap((setting) => ['-o', setting]);

/** The caller's environment carries the proxy settings. */
const environment = () => ({ ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' });

/** @param {string} tool @param {string[]} args @param {{ cwd: string, limitMs: number }} where */
async function run(tool, args, where) {
  const { code, output, error } = await runProgram(tool, args, { ...where, env: environment() });
  if (code === 0) return;
  const said = output
    .trim()
    .split('\n')
    .filter((line) => /^(E:|Err|dpkg)/.test(line))
    .slice(0, 4)
    .join(' ');
  throw new Error(`${tool} failed: ${error?.message ?? (said || `exit code ${code}`)}`);
}
