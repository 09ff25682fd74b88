import { once } from 'node:events';

/** @param {import('node:http').Server} server @returns its URL on the loopback, at a port that was free */
export async function listenLocally(server) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return `http://127.0.0.1:${address.port}`;
}
