import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findRedis } from '../../scripts/services/redis-binaries.mjs';
import { startRedis } from '../../scripts/services/redis-server.mjs';

const PORT_TRIES = 20;
const PORT_PAUSE_MS = 100;

export interface PrivateRedis {
  readonly url: string;
  /** Stops it and starts it again, empty, on the same port. */
  restart(): Promise<void>;
  /** The same, without a chance for it to say anything; `whileAway` runs while nobody listens. */
  crash(whileAway?: () => Promise<void>): Promise<void>;
  signal(signal: NodeJS.Signals): void;
  stop(): Promise<void>;
}

/** A Redis of a test's own, to starve, stop and restart: the run's shared one belongs to the other files too. */
export async function privateRedis(role: 'cache' | 'queue' = 'cache'): Promise<PrivateRedis> {
  const folder = mkdtempSync(join(tmpdir(), 'counterfoil-redis-'));
  const password = randomBytes(12).toString('hex');
  const program = await findRedis({ onNotice: undefined });
  const start = (preferredPort?: number) =>
    startRedis({ folder, role, durable: false, password, preferredPort, program });
  let server = await start();
  const { url, port } = server;
  const signal = (name: NodeJS.Signals) => process.kill(server.pid, name);
  const startAgain = async () => {
    // The queue's role has a file of its data.
    rmSync(join(folder, `redis-${role}`), { recursive: true, force: true });
    for (let tries = 1; ; tries += 1) {
      server = await start(port);
      if (server.port === port) return;
      await server.stop();
      if (tries === PORT_TRIES) throw new Error(`port ${port} was taken meanwhile`);
      // Somebody's outgoing connection has it for a moment.
      await sleep(PORT_PAUSE_MS);
    }
  };
  return {
    url,
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
