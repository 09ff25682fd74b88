import { createServer } from 'node:net';
import { ServicesError } from './services/services-error.mjs';

const LAST_PORT = 65_535;
const NEXT_PORTS_TRIED = 200;
const FIRST_DRAWN = 10_000;
const LAST_DRAWN = 32_000;
const DRAWS = 100;

/**
 * Whether nobody listens on the port. Without a host the question is about all addresses, as a public server would bind.
 * @param {number} port @param {string} [host] @returns {Promise<boolean>}
 */
export function isPortFree(port, host) {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (/** @type {NodeJS.ErrnoException} */ error) => {
      // EACCES is a privileged port: as unusable for us as a taken one.
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(false);
      else reject(error);
    });
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/**
 * A port that was free on 127.0.0.1 a moment ago, drawn from below those that the system gives to outgoing connections
 * (Linux: from 32,768): nobody's connection takes it by chance before its server listens, or while that server restarts.
 * Another server still may: be ready to ask again.
 */
export async function freePort() {
  for (let draw = 0; draw < DRAWS; draw += 1) {
    const port = FIRST_DRAWN + Math.floor(Math.random() * (LAST_DRAWN - FIRST_DRAWN));
    if (await isPortFree(port, '127.0.0.1')) return port;
  }
  throw new Error('This machine has no free port on 127.0.0.1; close some programs and try again.');
}

/**
 * The preferred port when it is free, else the next higher free one.
 * @param {number} preferred @param {string} [host]
 */
export async function portOrNext(preferred, host) {
  const last = Math.min(preferred + NEXT_PORTS_TRIED, LAST_PORT);
  for (let port = preferred; port <= last; port += 1) {
    if (await isPortFree(port, host)) return port;
  }
  throw new ServicesError(`every port from ${preferred} to ${last} is taken; set PORT to a free one.`);
}

/**
 * The port that a setting asks for, which must then be free, or else the default or the next free one.
 * @param {{ setting: string, preferred: number, host?: string | undefined, say: (message: string) => void }} options
 *   setting: name of the variable; say: told when it is not the default
 */
export async function portFor({ setting, preferred, host, say }) {
  const wanted = process.env[setting];
  if (!wanted) {
    // On all addresses, so that nobody else answers to another name of this machine.
    const port = await portOrNext(preferred);
    if (port !== preferred) say(`port ${preferred} is taken, so this is port ${port} (${setting} asks for another).`);
    return port;
  }
  const port = Number(wanted);
  if (!/^\d+$/.test(wanted) || port < 1 || port > LAST_PORT)
    throw new ServicesError(`${setting} must be a whole number from 1 to ${LAST_PORT}, not "${wanted}".`);
  if (!(await isPortFree(port, host)))
    throw new ServicesError(
      `${setting}=${port} cannot be had: another program listens there, or it is reserved. Free it, or ask for another.`,
    );
  return port;
}
