import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';

const READY_WITHIN_MS = 30_000;
const ASK_EVERY_MS = 50;
const STOP_WITHIN_MS = 10_000;

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
  const child = spawn(process.execPath, ['--enable-source-maps', file], {
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
  const lost = new Promise<never>((_resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      if (!stopping) reject(new Error(`the API ended with ${signal ?? `code ${code}`}`));
    });
  });
  // Whoever waits for something races against it; when nobody does, it must not end this process.
  lost.catch(() => undefined);
  const stop = (): Promise<void> => {
    stopping = true;
    return end(child);
  };
  try {
    await Promise.race([ready(port), lost]);
  } catch (error) {
    await stop();
    throw error;
  }
  return { port, metricsPort, pid: child.pid as number, lost, stop };
}

async function ready(port: number): Promise<void> {
  const until = performance.now() + READY_WITHIN_MS;
  let answer = 'nothing';
  while (performance.now() < until) {
    try {
      const response = await fetch(`http://127.0.0.1:${port}/readyz`);
      if (response.ok) return;
      answer = `${response.status} ${await response.text()}`;
    } catch {
      // Not listening yet.
    }
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
  }
  throw new Error(`the API was not ready after ${READY_WITHIN_MS / 1_000} s; /readyz answered ${answer}`);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS);
  await exited;
  clearTimeout(timer);
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as import('node:net').AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
