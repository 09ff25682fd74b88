import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { ScratchDatabase } from '#db/bench/scratch-database.js';
import { callApi } from '../scripts/call-api.mjs';
import { type ApiProcess, startApi } from './api-process.js';
import { WorkerProcess } from './worker-process.js';

const API = join(import.meta.dirname, '..', 'apps', 'api', 'src', 'main.js');
export const OPERATOR_KEY = `cfo_${randomBytes(24).toString('hex')}`;
const WORKER = join(import.meta.dirname, '..', 'apps', 'worker', 'src', 'main.js');
const POLL_MS = 50;
const WITHIN_MS = 1_800_000;
const READY_WITHIN_MS = 300_000;
const FIRST_DUTIES = ['complete system accounts', 'complete settlement calendars'];
/** A duty may be done before the process has said that it is ready. */
const STARTING_MS = 20_000;

interface Job {
  name: string;
  last_finished_at: string | null;
}

// biome-ignore lint/suspicious/noExplicitAny: what the API answers is as its document says.
export type Client = (method: string, path: string, body?: object, idempotencyKey?: string) => Promise<any>;

export interface Run {
  id: string;
  status: 'queued' | 'running' | 'completed' | 'failed';
  merchants: Record<'total' | 'settled' | 'empty' | 'not_due' | 'failed', number>;
}

/** API and worker on a database of their own, with nobody in the caches. */
export class NightService {
  readonly api: ApiProcess;
  readonly worker: WorkerProcess;
  /** What API and worker have besides that of this process. */
  readonly env: NodeJS.ProcessEnv;

  private constructor(api: ApiProcess, worker: WorkerProcess, env: NodeJS.ProcessEnv) {
    this.api = api;
    this.worker = worker;
    this.env = env;
  }

  /** `ofApi`: what the API's environment has besides; `file`: what runs in its place. */
  static async start(
    database: ScratchDatabase,
    env: NodeJS.ProcessEnv = {},
    ofApi: NodeJS.ProcessEnv = {},
    file = API,
  ): Promise<NightService> {
    // Each copy has the same merchants and accounts, and knows nothing of what others have cached.
    for (const url of [process.env.REDIS_URL, process.env.REDIS_QUEUE_URL]) {
      const redis = new Redis(url as string);
      await redis.flushdb().finally(() => redis.disconnect());
    }
    const own = {
      DATABASE_URL: database.url,
      DATABASE_RUNTIME_URL: database.runtimeUrl,
      COUNTERFOIL_OPERATOR_KEY: OPERATOR_KEY,
      ...env,
    };
    const api = await startApi(file, { ...own, ...ofApi });
    const worker = await WorkerProcess.start(WORKER, own);
    const service = new NightService(api, worker, own);
    await service.#settleIn(Date.now());
    return service;
  }

  /** What workers do for all merchants as they start, and then by the hour, is over. */
  async #settleIn(nowMs: number): Promise<void> {
    const end = nowMs + READY_WITHIN_MS;
    for (;;) {
      const { data } = await this.clientOf()('GET', '/v1/jobs');
      const done = data.filter((job: Job) => Date.parse(job.last_finished_at ?? '') > nowMs - STARTING_MS);
      if (FIRST_DUTIES.every((name) => done.some((job: Job) => job.name === name))) return;
      if (Date.now() > end) throw new Error('the worker is still starting');
      await sleep(POLL_MS);
    }
  }

  /** Of whose key it is; the operator's, if none is given. */
  clientOf(key = OPERATOR_KEY): Client {
    const url = `http://127.0.0.1:${this.api.port}`;
    return (method, path, body, idempotencyKey) => callApi({ url, key, method, path, body, idempotencyKey });
  }

  begin(businessDate: string): Promise<Run> {
    return this.clientOf()('POST', '/v1/settlement_runs', { business_date: businessDate });
  }

  look({ id }: Run): Promise<Run> {
    return this.clientOf()('GET', `/v1/settlement_runs/${id}`);
  }

  /** Seconds from the request until all are settled. */
  async settle(businessDate: string): Promise<number> {
    const startedAt = performance.now();
    let run = await this.begin(businessDate);
    while (run.status === 'queued' || run.status === 'running') {
      if (performance.now() > startedAt + WITHIN_MS) throw new Error(`the run is still ${run.status}`);
      await sleep(POLL_MS);
      run = await this.look(run);
    }
    const { total, settled } = run.merchants;
    if (settled !== total) throw new Error(`not all are settled: ${JSON.stringify(run)}`);
    return (performance.now() - startedAt) / 1_000;
  }

  async stop(): Promise<void> {
    await Promise.all([this.api.stop(), this.worker.end('SIGTERM')]);
  }
}
