import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findRedis } from '../../scripts/services/redis-binaries.mjs';
import { startRedis } from '../../scripts/services/redis-server.mjs';

export interface PrivateRedis {
  readonly url: string;
  /** Stops it and starts it again, empty, on the same port. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** A cache of a test's own, to starve, stop and restart: the run's shared one belongs to the other files too. */
export async function privateRedis(): Promise<PrivateRedis> {
  const folder = mkdtempSync(join(tmpdir(), 'counterfoil-redis-'));
  const password = randomBytes(12).toString('hex');
  const program = await findRedis({ onNotice: undefined });
  const start = (preferredPort?: number) =>
    startRedis({ folder, role: 'cache', durable: false, password, preferredPort, program });
  let server = await start();
  const { url, port } = server;
  // A run that ends early must leave no server behind.
  const kill = () => server.kill();
  process.once('exit', kill);
  return {
    url,
    restart: async () => {
      await server.stop();
      server = await start(port);
      if (server.port !== port) throw new Error(`port ${port} was taken meanwhile`);
    },
    stop: async () => {
      process.removeListener('exit', kill);
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
