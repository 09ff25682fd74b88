import { connect } from 'node:net';

const REPLY_MS = 2_000;

/**
 * Sends commands to a Redis and closes. The little that starting a server needs, without a client library.
 * @param {string} socketPath @param {string[]} commands inline commands, such as `PING`
 * @returns {Promise<string>} everything the server said
 */
export function askRedis(socketPath, commands) {
  return new Promise((resolve, reject) => {
    let reply = '';
    const socket = connect({ path: socketPath });
    socket.setTimeout(REPLY_MS, () =>
      socket.destroy(new Error(`Redis at ${socketPath} did not answer within ${REPLY_MS} ms`)),
    );
    socket.on('connect', () => socket.write(`${[...commands, 'QUIT'].join('\r\n')}\r\n`));
    socket.on('data', (chunk) => {
      reply += chunk;
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(reply));
  });
}
