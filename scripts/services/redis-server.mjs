// A private Redis in a folder, one process per role, on a Unix socket alone.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startPrivateServer } from './private-server.mjs';
import { askRedis } from './redis-wire.mjs';
import { socketFolder } from './socket-folder.mjs';

const SOCKET = 'redis.sock';

/** What each role needs; see "Redis" in the design. @type {Record<'cache' | 'queue', string[]>} */
const ROLE_SETTINGS = {
  cache: ['maxmemory 128mb', 'maxmemory-policy volatile-lru', 'appendonly no'],
  // A queue must never drop a job to make room: BullMQ asks for noeviction.
  queue: ['maxmemory 512mb', 'maxmemory-policy noeviction', 'appendonly yes'],
};

/**
 * @param {object} options
 * @param {string} options.folder the sub-folder that this starter has claimed
 * @param {'cache' | 'queue'} options.role
 * @param {boolean} options.durable
 * @param {string[]} [options.settings] lines of redis.conf on top of ours
 * @param {import('./redis-binaries.mjs').RedisProgram} options.program
 */
export function startRedis({ folder, role, durable, settings = [], program: { file, env } }) {
  const data = join(folder, `redis-${role}`);
  mkdirSync(data, { recursive: true, mode: 0o700 });
  const path = join(socketFolder(folder), `redis-${role}`, SOCKET);
  return startPrivateServer(
    { title: `Redis (${role})`, file, args: ['./redis.conf'], env, data, logFile: join(folder, `redis-${role}.log`) },
    {
      // As ioredis takes it.
      url: `redis://localhost?path=${path}`,
      beforeEach: () =>
        writeSettings(data, [...ROLE_SETTINGS[role], `appendfsync ${durable ? 'everysec' : 'no'}`, ...settings]),
      answers: async () => /^(\+PONG|-NOAUTH)/.test(await askRedis(path, ['PING']).catch(() => '')),
    },
  );
}

/** @param {string} data @param {string[]} settings */
function writeSettings(data, settings) {
  const lines = [
    '# Written at each start.',
    'port 0',
    // From inside its folder, whose own path may be too long for a socket.
    `unixsocket ./${SOCKET}`,
    'unixsocketperm 700',
    'daemonize no',
    'save ""',
    ...settings,
    'loglevel notice',
  ];
  writeFileSync(join(data, 'redis.conf'), `${lines.join('\n')}\n`, { mode: 0o600 });
}
