// One holder per folder at a time. The lock is an abstract Unix socket: the kernel frees the name when the holder ends,
// however it ends, so there is no stale lock to judge. Who connects is told who the holder is.
import { connect, createServer } from 'node:net';
import { directoryId } from './processes.mjs';
import { until } from './until.mjs';

const ANSWER_MS = 1_000;
const CLAIM_MS = 5_000;

/** @param {string} folder */
const socketName = (folder) => `\0counterfoil-folder-${directoryId(folder)}`;

/**
 * @param {string} folder an existing folder
 * @param {string} purpose shown to others who want the folder
 * @returns {Promise<{ release: () => Promise<void> } | { heldBy: string }>}
 */
export async function claimFolder(folder, purpose) {
  const outcome = await until(CLAIM_MS, async () => {
    const name = socketName(folder);
    const server = createServer((socket) => socket.on('error', () => {}).end(`${purpose} (process ${process.pid})`));
    if (await listens(server, name)) {
      server.unref();
      return { release: () => /** @type {Promise<void>} */ (new Promise((resolve) => server.close(() => resolve()))) };
    }
    const heldBy = await askHolder(name);
    return heldBy === undefined ? undefined : { heldBy };
  });
  return outcome ?? { heldBy: 'another process' };
}

/** @param {import('node:net').Server} server @param {string} path @returns {Promise<boolean>} */
function listens(server, path) {
  return new Promise((resolve, reject) => {
    server.once('error', (/** @type {NodeJS.ErrnoException} */ error) => {
      if (error.code === 'EADDRINUSE') resolve(false);
      else reject(error);
    });
    server.listen({ path }, () => resolve(true));
  });
}

/**
 * A holder that was killed may need a moment to go: it takes the connection and drops it without a word.
 * @param {string} path @returns {Promise<string | undefined>} undefined when the holder is going or gone
 */
function askHolder(path) {
  return new Promise((resolve) => {
    let answer = '';
    const socket = connect({ path });
    socket.setTimeout(ANSWER_MS, () => {
      answer ||= 'a process that does not answer';
      socket.destroy();
    });
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(answer || undefined));
  });
}
