import { existsSync } from 'node:fs';
import { freePort } from '../scripts/ports.mjs';
import { Child } from '../scripts/services/child.mjs';

const READY_WITHIN_MS = 30_000;

export interface ApiProcess {
  port: number;
  /** Where `/metrics` is. */
  metricsPort: number;
  pid: number;
  /** Rejects when the process ends although nobody stopped it. */
  lost: Promise<never>;
  stop(): Promise<void>;
}

/** Starts the compiled API on a free port and waits until it says that it is ready. */
export async function startApi(file: string, env: NodeJS.ProcessEnv): Promise<ApiProcess> {
  if (!existsSync(file)) throw new Error(`${file} does not exist; build the API first`);
  const [port, metricsPort] = [await freePort(), await freePort()];
  const child = Child.node('the API', [file], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      ...process.env,
      ...env,
      PORT: String(port),
      METRICS_PORT: String(metricsPort),
      LOG_LEVEL: 'warn',
      COUNTERFOIL_DEMO: '0',
    },
  });
  let stopping = false;
  const lost = child.ended.then((how) => {
    if (!stopping) throw new Error(`the API ended (${how})`);
    return new Promise<never>(() => undefined);
  });
  // Whoever waits for something races against it; when nobody does, it must not end this process.
  lost.catch(() => undefined);
  const stop = async (): Promise<void> => {
    stopping = true;
    await child.stop();
  };
  try {
    await child.ready(READY_WITHIN_MS, () => isReady(port));
  } catch (error) {
    await stop();
    throw error;
  }
  return { port, metricsPort, pid: child.process.pid as number, lost, stop };
}

async function isReady(port: number): Promise<boolean> {
  const response = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined);
  await response?.arrayBuffer();
  return response?.ok ?? false;
}
