import { connect } from 'node:net';

const REPLY_MS = 2_000;

/**
 * Sends commands to a Redis on 127.0.0.1 and closes. The little that starting a server needs, without a client library.
 * @param {number} port @param {string[]} commands inline commands, such as `PING`
 * @returns {Promise<string>} everything the server said
 */
export function askRedis(port, commands) {
  return new Promise((resolve, reject) => {
    let reply = '';
    const socket = connect({ port, host: '127.0.0.1' });
    socket.setTimeout(REPLY_MS, () =>
      socket.destroy(new Error(`Redis on port ${port} did not answer within ${REPLY_MS} ms`)),
    );
    socket.on('connect', () => socket.write(`${[...commands, 'QUIT'].join('\r\n')}\r\n`));
    socket.on('data', (chunk) => {
      reply += chunk;
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(reply));
  });
}
