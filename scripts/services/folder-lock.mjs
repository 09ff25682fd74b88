// One holder per folder at a time. The lock is an abstract Unix socket: the kernel frees the name when the holder ends,
// however it ends, so there is no stale lock to judge. Who connects is told who the holder is.
import { connect, createServer } from 'node:net';
import { directoryId } from './processes.mjs';

const ANSWER_MS = 1_000;
const CLAIM_TRIES = 5;

/** @param {string} folder */
const socketName = (folder) => `\0counterfoil-folder-${directoryId(folder)}`;

/**
 * @param {string} folder an existing folder
 * @param {string} purpose shown to others who want the folder
 * @returns {Promise<{ release: () => Promise<void> } | { heldBy: string }>}
 */
export async function claimFolder(folder, purpose) {
  for (let tries = 0; tries < CLAIM_TRIES; tries += 1) {
    const name = socketName(folder);
    const server = createServer((socket) => socket.on('error', () => {}).end(`${purpose} (process ${process.pid})`));
    if (await listens(server, name)) {
      server.unref();
      return { release: () => new Promise((resolve) => server.close(() => resolve())) };
    }
    const heldBy = await askHolder(name);
    if (heldBy !== undefined) return { heldBy };
  }
  return { heldBy: 'another process' };
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

/** @param {string} path @returns {Promise<string | undefined>} undefined when the holder has just gone */
function askHolder(path) {
  return new Promise((resolve) => {
    let answer = '';
    const socket = connect({ path });
    socket.setTimeout(ANSWER_MS, () => socket.destroy());
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.on('error', (/** @type {NodeJS.ErrnoException} */ error) => {
      if (error.code === 'ECONNREFUSED') resolve(undefined);
    });
    socket.on('close', () => resolve(answer || 'another process'));
  });
}
