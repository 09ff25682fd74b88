import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findRedis } from '../../scripts/services/redis-binaries.mjs';
import { startRedis } from '../../scripts/services/redis-server.mjs';

export interface PrivateRedis {
  readonly url: string;
  /** Stops it and starts it again, empty, at the same place. */
  restart(): Promise<void>;
  /** The same, without a chance for it to say anything; `whileAway` runs while nobody listens. */
  crash(whileAway?: () => Promise<void>): Promise<void>;
  signal(signal: NodeJS.Signals): void;
  stop(): Promise<void>;
}

/** A Redis of a test's own, to starve, stop and restart: the run's shared one belongs to the other files too. */
export async function privateRedis(role: 'cache' | 'queue' = 'cache', password?: string): Promise<PrivateRedis> {
  const folder = mkdtempSync(join(tmpdir(), 'counterfoil-redis-'));
  const program = await findRedis({ onNotice: undefined });
  const settings = password === undefined ? [] : [`requirepass ${password}`];
  const start = () => startRedis({ folder, role, durable: false, settings, program });
  let server = await start();
  const url = new URL(server.url);
  if (password !== undefined) url.password = password;
  const signal = (name: NodeJS.Signals) => process.kill(server.pid, name);
  const startAgain = async () => {
    // The queue's role has a file of its data.
    rmSync(join(folder, `redis-${role}`), { recursive: true, force: true });
    server = await start();
  };
  return {
    url: url.href,
    restart: async () => {
      await server.stop();
      await startAgain();
    },
    crash: async (whileAway) => {
      signal('SIGKILL');
      await server.ended;
      await whileAway?.();
      await startAgain();
    },
    signal,
    stop: async () => {
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
