import { createServer } from 'node:net';

const LAST_PORT = 65_535;
const NEXT_PORTS_TRIED = 200;

/**
 * Whether nobody listens on the port. Without a host the question is about all addresses, as a public server would bind.
 * @param {number} port @param {string} [host]
 */
export async function isPortFree(port, host) {
  return (await listenOnce(port, host)) !== undefined;
}

/** A port that was free on 127.0.0.1 a moment ago. Somebody else may still take it: be ready to ask again. */
export async function freePort() {
  const port = await listenOnce(0, '127.0.0.1');
  if (port === undefined)
    throw new Error('This machine has no free port on 127.0.0.1; close some programs and try again.');
  return port;
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
  throw new Error(`Every port from ${preferred} to ${last} is taken; set PORT to a free one.`);
}

/** @param {number} port @param {string} [host] @returns {Promise<number | undefined>} the port, if it could be bound */
function listenOnce(port, host) {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (/** @type {NodeJS.ErrnoException} */ error) => {
      // EACCES is a privileged port: as unusable for us as a taken one.
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(undefined);
      else reject(error);
    });
    server.listen({ port, host, exclusive: true }, () => {
      const address = /** @type {import('node:net').AddressInfo} */ (server.address());
      server.close(() => resolve(address.port));
    });
  });
}
