import { cpus } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { scratchDatabase } from '#db/bench/scratch-database.js';
import { percentile, textTable } from '#db/bench/text-table.js';
import { freePort } from '../scripts/ports.mjs';
import { startApi } from './api-process.js';
import { openBook } from './book.js';
import { Neighbour, type Waits, WHATS } from './neighbour.js';
import { NightService, OPERATOR_KEY } from './night-service.js';
import { KINDS, type Kind } from './noise.js';
import { type Answers, NoiseProcess } from './noise-process.js';
import type { BenchMerchant } from './requests.js';

/** `npm run bench:noisy-neighbour`: row 14; see docs/figures/limits.md. */

const { values } = parseArgs({
  options: {
    smoke: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    only: { type: 'string' },
    apis: { type: 'string', default: '1' },
    units: { type: 'string' },
    'without-redis': { type: 'boolean', default: false },
  },
});
const rounds = Number(values.rounds ?? (values.smoke ? 1 : 5));
const windowMs = Number(values.seconds ?? (values.smoke ? 0.15 : 4)) * 1_000;
const kinds = values.only === undefined ? KINDS : (values.only.split(',') as Kind[]);
/** Postings a second of the neighbour, and as many reads. */
const PER_SECOND = 20;
const TIMES = 50;
/** Webhooks to receivers that do not answer want few events. */
const SLOW_WEBHOOKS_PER_SECOND = 100;
const SLOW_ENDPOINTS = 10;
const ACCOUNTS = 100;
const HISTORY = values.smoke ? 1 : 20;
/** For what a window leaves behind. */
const SETTLE_MS = values.smoke ? 50 : 500;
const GOAL = 1.2;
const API = join(import.meta.dirname, '..', 'apps', 'api', 'src', 'main.js');

const serverUrl = process.env.DATABASE_URL;
if (!serverUrl) throw new Error('DATABASE_URL is not set; run npm run bench:noisy-neighbour');

interface Heard {
  alone: Waits[];
  beside: Waits[];
  answers: Answers;
  noiseMs: number;
}

const database = await scratchDatabase(serverUrl, 'noisy');
const cleanup: (() => unknown)[] = [() => database.drop()];
try {
  // There from the beginning, a cache that nobody answers for is one that is gone.
  const gone = values['without-redis'] ? { REDIS_URL: `redis://127.0.0.1:${await freePort()}` } : {};
  const env = { WEBHOOK_ALLOW_LOOPBACK: '1' };
  const service = await NightService.start(database, env, gone);
  cleanup.push(() => service.stop());
  const ports = [service.api.port];
  for (let more = Number(values.apis) - 1; more > 0; more -= 1) {
    const urls = { DATABASE_URL: database.url, DATABASE_RUNTIME_URL: database.runtimeUrl };
    const api = await startApi(API, { ...urls, COUNTERFOIL_OPERATOR_KEY: OPERATOR_KEY, ...env, ...gone });
    cleanup.push(() => api.stop());
    ports.push(api.port);
  }
  const [quiet, noisy] = (await openBook(service.api.port, OPERATOR_KEY, 2, ACCOUNTS)) as [
    BenchMerchant,
    BenchMerchant,
  ];
  const neighbour = await Neighbour.open(service.api.port, quiet);
  cleanup.push(() => neighbour.close());
  await service.clientOf(quiet.apiKey)('POST', '/v1/webhook_endpoints', { url: neighbour.webhookUrl }, 'endpoint');
  const noise = await NoiseProcess.start();
  cleanup.push(() => noise.stop());
  await prepare(service, noisy, ports, noise);
  await neighbour.live(windowMs, PER_SECOND);

  const heard = new Map(kinds.map((kind): [Kind, Heard] => [kind, { alone: [], beside: [], answers: {}, noiseMs: 0 }]));
  for (let round = 1; round <= rounds; round += 1) {
    for (const kind of round % 2 === 0 ? kinds.toReversed() : kinds) {
      const of = heard.get(kind) as Heard;
      of.alone.push(await neighbour.live(windowMs, PER_SECOND));
      const leave = kind === 'slow webhooks' ? await openSlowEndpoints(service, noisy, noise) : undefined;
      const perSecond = kind === 'slow webhooks' ? SLOW_WEBHOOKS_PER_SECOND : TIMES * PER_SECOND;
      const beganMs = performance.now();
      noise.begin({ kind, merchant: noisy, ports, perSecond });
      await sleep(SETTLE_MS);
      of.beside.push(await neighbour.live(windowMs, PER_SECOND));
      add(of.answers, await noise.end());
      of.noiseMs += performance.now() - beganMs;
      await leave?.();
      await sleep(SETTLE_MS);
    }
    console.error(`# round ${round} of ${rounds} done`);
  }
  print(heard, neighbour.refused);
} finally {
  for (const step of cleanup.reverse()) await step();
}

/** The noisy one has a history, a plan if one is asked for, and both processes have been warm. */
async function prepare(
  service: NightService,
  noisy: BenchMerchant,
  ports: number[],
  noise: NoiseProcess,
): Promise<void> {
  const batch = { kind: 'batches of 1,000', merchant: noisy, ports, perSecond: 1_000 } as const;
  noise.begin(batch);
  await sleep(HISTORY * 100);
  const answers = await noise.end();
  if (!answers[200]) throw new Error(`no batch was taken: ${JSON.stringify(answers)}`);
  if (values.units === undefined) return;
  const units = Number(values.units);
  const plan = { units_per_second: units, burst_units: 2 * units, units_in_flight: Math.ceil(units / 4) };
  await service.clientOf()('PUT', `/v1/merchants/${noisy.id}/limits`, plan);
}

async function openSlowEndpoints(service: NightService, { apiKey }: BenchMerchant, noise: NoiseProcess) {
  const call = service.clientOf(apiKey);
  const ids: string[] = [];
  for (let n = 0; n < SLOW_ENDPOINTS; n += 1) {
    const url = `http://127.0.0.1:${noise.slowPort}/${n}`;
    ids.push((await call('POST', '/v1/webhook_endpoints', { url }, `slow-${Date.now()}-${n}`)).id);
  }
  return async () => {
    for (const id of ids) await call('DELETE', `/v1/webhook_endpoints/${id}`);
  };
}

function add(sum: Answers, more: Answers): void {
  for (const [status, count] of Object.entries(more)) sum[Number(status)] = (sum[Number(status)] ?? 0) + count;
}

function print(heard: ReadonlyMap<Kind, Heard>, refused: readonly string[]): void {
  const rows = [...heard].flatMap(([kind, { alone, beside, answers, noiseMs }]) =>
    WHATS.map((what, index) => {
      const all = [alone, beside].map((windows) => windows.flatMap((window) => window[what]));
      const [a, b] = all as [number[], number[]];
      const ratio = (share: number): number => percentile(b, share) / percentile(a, share);
      const shown = [a, b].map((ms) => `${percentile(ms, 0.5).toFixed(1)} / ${percentile(ms, 0.99).toFixed(1)}`);
      const made = index === 0 ? [kind, noiseOf(answers, noiseMs)] : ['', ''];
      const verdict = values.smoke ? '' : ratio(0.99) <= GOAL ? 'reached' : 'not reached';
      return [
        made[0] as string,
        what,
        ...shown,
        ratio(0.5).toFixed(2),
        ratio(0.99).toFixed(2),
        verdict,
        made[1] as string,
      ];
    }),
  );
  const head = [
    'beside',
    'of the neighbour',
    'alone, p50 / p99 ms',
    'beside',
    'p50 ÷',
    'p99 ÷',
    `≤ ${GOAL}`,
    'noise, answers a second',
  ];
  console.log(
    `${cpus().length} cores for server, APIs, worker, noise and harness; ${rounds} rounds of ${windowMs / 1_000} s alone and beside; ` +
      `${PER_SECOND} postings and ${PER_SECOND} reads a second; ${values.apis} API; plan of the noisy one: ` +
      `${values.units ?? 'that of every merchant'}${values['without-redis'] ? '; Redis gone' : ''}.`,
  );
  console.log(textTable(head, rows, 2));
  if (refused.length === 0) return;
  console.log(`The neighbour was refused ${refused.length} times, first with ${refused[0]}`);
  process.exitCode = 1;
}

/** `201: 950, 429: 50` */
function noiseOf(answers: Answers, ms: number): string {
  return Object.entries(answers)
    .map(([status, count]) => `${status === '0' ? 'broken' : status}: ${Math.round((count * 1_000) / ms)}`)
    .join(', ');
}
