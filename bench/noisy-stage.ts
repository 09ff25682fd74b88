import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { scratchDatabase } from '#db/bench/scratch-database.js';
import { startApi } from './api-process.js';
import { openAccounts, openBook } from './book.js';
import { Elsewhere } from './elsewhere.js';
import { Neighbour } from './neighbour.js';
import { NightBook } from './night-book.js';
import { NightService, OPERATOR_KEY, type Run } from './night-service.js';
import { NoiseProcess } from './noise-process.js';
import { CpuShares, postgresCpu, processCpu, redisCpu } from './process-cpu.js';
import { RedisLink } from './redis-link.js';
import type { BenchMerchant } from './requests.js';

export interface StageOptions {
  serverUrl: string;
  apis: number;
  /** Of each merchant. */
  accounts: number;
  /** How long a delivery is waited for, and how long a service that has something left to do. */
  patienceMs: Record<'delivery' | 'rest', number>;
  /** How long the noisy one posts batches before the first window: what there is to export. */
  historyMs: number;
  /** A second; undefined: the noisy one has the plan that every merchant has. */
  units: number | undefined;
  /** Gone from the first window on. */
  withoutRedis: boolean;
  /** So many merchants are being settled meanwhile, of a hundred entries each, the two among them; 0: no night. */
  night: number;
}

/** The service, the two merchants, and who makes the noise. */
export interface Stage {
  service: NightService;
  /** Of the APIs. */
  ports: number[];
  noisy: BenchMerchant;
  neighbour: Neighbour;
  noise: NoiseProcess;
  elsewhere: Elsewhere;
  cpu: CpuShares<(typeof PROCESSES)[number]>;
  /** Waits until the service has done what a window left behind, not for long. In a night there is no rest. */
  rest(): Promise<void>;
  /** Whether the night, if there is one, still goes on. */
  isNight(): Promise<boolean>;
}
export const PROCESSES = ['API', 'PostgreSQL', 'worker', 'Redis', 'noise', 'elsewhere', 'harness'] as const;
export type Keep = (step: () => unknown) => void;

const API = join(import.meta.dirname, '..', 'apps', 'api', 'src', 'main.js');
const ENTRIES = 100;
const REST_LOOK_MS = 100;
/** Milliseconds a second: what a service takes that nobody asks for anything. */
const AT_REST = 150;

/** `keep` is given what is to be undone afterwards, last first, also where this fails half-way. */
export async function openStage(options: StageOptions, keep: Keep): Promise<Stage> {
  const { serverUrl, apis, accounts } = options;
  const night = options.night > 0 ? await openNight(options, keep) : undefined;
  const database = night ? await night.copy() : await scratchDatabase(serverUrl, 'noisy');
  keep(() => database.drop());
  const { REDIS_URL, REDIS_QUEUE_URL } = process.env as Record<string, string>;
  const link = await RedisLink.open(REDIS_URL as string);
  keep(() => link.cut());
  const env = { WEBHOOK_ALLOW_LOOPBACK: '1', ...(options.withoutRedis && { REDIS_URL: link.url }) };
  const service = await NightService.start(database, env);
  keep(() => service.stop());
  const pids = [service.api.pid];
  const ports = [service.api.port];
  while (ports.length < apis) {
    const api = await startApi(API, { ...service.env });
    keep(() => api.stop());
    pids.push(api.pid);
    ports.push(api.port);
  }
  const [quiet, noisy] = night
    ? await settledMerchants(service, accounts)
    : await openBook(service.api.port, OPERATOR_KEY, 2, accounts);
  if (!quiet || !noisy) throw new Error('there are no two merchants');
  const neighbour = await Neighbour.open(ports, quiet, options.patienceMs.delivery);
  keep(() => neighbour.close());
  await service.clientOf(quiet.apiKey)('POST', '/v1/webhook_endpoints', { url: neighbour.webhookUrl }, 'endpoint');
  const noise = await NoiseProcess.start();
  keep(() => noise.stop());
  const elsewhere = await Elsewhere.start();
  keep(() => elsewhere.stop());
  await makeHistory(noise, noisy, ports, options.historyMs);
  await setPlan(service, noisy, options.units);
  const of = { api: processCpu(pids), postgres: await postgresCpu(serverUrl), worker: service.worker };
  const worker = (): number => service.worker.cpuMs().worker + service.worker.cpuMs().consumers;
  const cpu = new CpuShares({
    API: of.api,
    PostgreSQL: of.postgres,
    worker,
    Redis: await redisCpu([REDIS_URL, REDIS_QUEUE_URL] as string[]),
    noise: processCpu([noise.pid]),
    elsewhere: processCpu([elsewhere.pid]),
    harness: processCpu([process.pid]),
  });
  const atWork = new CpuShares({ service: () => of.api() + of.postgres() + worker() });
  if (options.withoutRedis) link.cut();
  const run: Run | undefined = night && (await service.begin(night.day.businessDate));
  const isNight = async (): Promise<boolean> => run !== undefined && (await service.look(run)).status === 'running';
  const rest = async (): Promise<void> => {
    const until = performance.now() + (run ? 0 : options.patienceMs.rest);
    do {
      atWork.take();
      await sleep(REST_LOOK_MS);
    } while (atWork.take().service > AT_REST && performance.now() < until);
  };
  return { service, ports, noisy, neighbour, noise, elsewhere, cpu, rest, isNight };
}

async function openNight({ serverUrl, night }: StageOptions, keep: Keep): Promise<NightBook> {
  const book = await NightBook.open(serverUrl, ENTRIES);
  keep(() => book.close());
  await book.grow(night);
  return book;
}

/** Two of those who are being settled, with accounts besides. */
async function settledMerchants(service: NightService, accounts: number): Promise<BenchMerchant[]> {
  const { data } = await service.clientOf()('GET', '/v1/merchants?limit=2');
  return Promise.all(
    data.map(async ({ id }: { id: string }) => {
      const { secret } = await service.clientOf()('POST', `/v1/merchants/${id}/api_keys`, {});
      const merchant = { id, apiKey: secret, accounts: [] };
      return { ...merchant, accounts: await openAccounts(service.api.port, merchant, accounts, 'bench') };
    }),
  );
}

/** Of the noisy one. Both processes have been warm then. */
async function makeHistory(noise: NoiseProcess, merchant: BenchMerchant, ports: number[], ms: number): Promise<void> {
  noise.begin({ kind: 'batches of 1000', merchant, ports, perSecond: 1_000 });
  await sleep(ms);
  const { answers } = await noise.end();
  if (!answers[200]) throw new Error(`no batch was taken: ${JSON.stringify(answers)}`);
}

/** As docs/limits.md sizes them, but with a burst of one second, so that it is soon used up. */
async function setPlan(service: NightService, { id }: BenchMerchant, units: number | undefined): Promise<void> {
  if (units === undefined) return;
  const plan = { units_per_second: units, burst_units: units, units_in_flight: Math.ceil(units / 10) };
  await service.clientOf()('PUT', `/v1/merchants/${id}/limits`, plan);
}
