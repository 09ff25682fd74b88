import { Redis } from 'ioredis';
import pg from 'pg';
import { cpuOfMs, cpuOfServerMs, postmasterOf } from './cpu.js';

/** CPU milliseconds so far; NaN: it is not on this machine. */
export type Cpu = () => number;

/** What each of them has taken since it was last asked, in milliseconds of each second. */
export class CpuShares<Name extends string> {
  readonly #names: Record<Name, Cpu>;
  #atMs = performance.now();
  #before: Record<Name, number>;

  constructor(names: Record<Name, Cpu>) {
    this.#names = names;
    this.#before = this.#read();
  }

  take(): Record<Name, number> {
    const [now, read] = [performance.now(), this.#read()];
    const seconds = (now - this.#atMs) / 1_000;
    const shares = { ...read };
    for (const name in shares) shares[name] = (read[name] - this.#before[name]) / seconds;
    this.#atMs = now;
    this.#before = read;
    return shares;
  }

  #read(): Record<Name, number> {
    const read = Object.entries<Cpu>(this.#names).map(([name, cpu]) => [name, cpu()]);
    return Object.fromEntries(read) as Record<Name, number>;
  }
}

export function processCpu(pids: readonly number[]): Cpu {
  return () => pids.reduce((sum, pid) => sum + (cpuOfMs(pid) ?? Number.NaN), 0);
}

export async function postgresCpu(url: string): Promise<Cpu> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query('SELECT pg_backend_pid() AS pid');
    const postmaster = postmasterOf(rows[0].pid);
    return () => (postmaster === undefined ? Number.NaN : (cpuOfServerMs(postmaster) ?? Number.NaN));
  } finally {
    await client.end();
  }
}

/** Of both roles together. */
export async function redisCpu(urls: readonly string[]): Promise<Cpu> {
  const pids = await Promise.all(
    urls.map(async (url) => {
      const redis = new Redis(url);
      const info = await redis.info('server').finally(() => redis.disconnect());
      return Number(/^process_id:(\d+)/m.exec(info)?.[1]);
    }),
  );
  return processCpu([...new Set(pids)]);
}
