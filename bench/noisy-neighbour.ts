import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { chosen } from './chosen.js';
import { rateOf } from './elsewhere.js';
import { KINDS, type Kind } from './noise.js';
import type { Answers, Heard } from './noise-callers.js';
import { cpuTable, type OfKind, ofNothing, type Window, waitsTable } from './noisy-report.js';
import { openStage, type Stage } from './noisy-stage.js';

/** `npm run bench:noisy-neighbour`: row 14; see docs/figures/limits.md. */

const { values } = parseArgs({
  options: {
    smoke: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    only: { type: 'string' },
    apis: { type: 'string', default: '1' },
    units: { type: 'string' },
    night: { type: 'string', default: '0' },
    'without-redis': { type: 'boolean', default: false },
  },
});
const rounds = Number(values.rounds ?? (values.smoke ? 1 : 2));
const windowMs = Number(values.seconds ?? (values.smoke ? 0.15 : 3)) * 1_000;
const kinds = chosen(values.only, KINDS);
/** Postings a second of the neighbour, and as many reads. */
const PER_SECOND = 20;
const TIMES = 50;
/** Webhooks to receivers that do not answer want few events. */
const SLOW_WEBHOOKS_PER_SECOND = 100;
const SLOW_ENDPOINTS = 10;
/** For a noise to be as loud as it will be. */
const WARM_MS = values.smoke ? 20 : 500;
/** For it to use up its burst. */
const BURST_MS = values.smoke ? 100 : 3_000;
/** Streams are there from the beginning; elsewhere they are to be soon. */
const STREAMS_PER_SECOND = 100;
/** Deliveries that come later count as that long. */
const PATIENCE_MS = values.smoke ? { delivery: 300, rest: 0 } : { delivery: 3_000, rest: 2_000 };
const GOAL = 1.2;

const serverUrl = process.env.DATABASE_URL;
if (!serverUrl) throw new Error('DATABASE_URL is not set; run npm run bench:noisy-neighbour');

const cleanup: (() => unknown)[] = [];
try {
  const options = {
    serverUrl,
    apis: Number(values.apis),
    accounts: values.smoke ? 20 : 100,
    patienceMs: PATIENCE_MS,
    historyMs: values.smoke ? 100 : 2_000,
    units: values.units === undefined ? undefined : Number(values.units),
    withoutRedis: values['without-redis'],
    night: Number(values.night),
  };
  const stage = await openStage(options, (step) => cleanup.push(step));
  await stage.neighbour.live(windowMs, PER_SECOND);
  const all = new Map(kinds.map((kind) => [kind, ofNothing()]));
  for (let round = 1; round <= rounds; round += 1) {
    for (const kind of round % 2 === 0 ? kinds.toReversed() : kinds)
      await measure(stage, kind, all.get(kind) as OfKind);
    console.error(`# round ${round} of ${rounds} done`);
  }
  print(all, stage.neighbour.refused);
  if (options.night > 0 && !(await stage.isNight())) console.log('The night was over before the windows were.');
} finally {
  for (const step of cleanup.reverse()) await step();
}

/** Alone, beside, and with the same noise elsewhere. */
async function measure(stage: Stage, kind: Kind, of: OfKind): Promise<void> {
  const { noise, elsewhere, noisy: merchant, ports } = stage;
  await live(stage, of, 'alone');
  const leave = kind === 'slow webhooks' ? await openSlowEndpoints(stage) : undefined;
  const perSecond = kind === 'slow webhooks' ? SLOW_WEBHOOKS_PER_SECOND : TIMES * PER_SECOND;
  const refused = noise.begin({ kind, merchant, ports, perSecond }).then(() => true);
  await sleep(WARM_MS);
  if (values.units !== undefined && kind !== 'forged keys' && !(await Promise.race([refused, sleep(BURST_MS, false)])))
    of.unspent += 1;
  await noise.hear();
  await live(stage, of, 'beside');
  const heard = await noise.hear();
  await noise.end();
  add(of, heard);
  await leave?.();
  await stage.rest();
  elsewhere.answerAs(heard);
  const rate = kind === 'event streams' ? Math.max(rateOf(heard), STREAMS_PER_SECOND) : rateOf(heard);
  noise.begin({ kind, merchant, ports: [elsewhere.port], perSecond: rate });
  await sleep(WARM_MS);
  await live(stage, of, 'elsewhere');
  await noise.end();
  await stage.rest();
}

async function live({ neighbour, cpu }: Stage, of: OfKind, window: Window): Promise<void> {
  cpu.take();
  of.waits[window].push(await neighbour.live(windowMs, PER_SECOND));
  of.cpu[window].push(cpu.take());
}

async function openSlowEndpoints({ service, noisy, noise }: Stage): Promise<() => Promise<void>> {
  const call = service.clientOf(noisy.apiKey);
  const ids: string[] = [];
  for (let n = 0; n < SLOW_ENDPOINTS; n += 1) {
    const url = `http://127.0.0.1:${noise.slowPort}/${n}`;
    ids.push((await call('POST', '/v1/webhook_endpoints', { url }, `slow-${Date.now()}-${n}`)).id);
  }
  return async () => {
    for (const id of ids) await call('DELETE', `/v1/webhook_endpoints/${id}`);
  };
}

function add(of: OfKind, { answers, ms }: Heard): void {
  const sum: Answers = of.answers;
  for (const [status, { count, bytes }] of Object.entries(answers)) {
    const known = sum[Number(status)] ?? { count: 0, bytes: 0 };
    sum[Number(status)] = { count: known.count + count, bytes: known.bytes + bytes };
  }
  of.ms += ms;
}

function print(all: ReadonlyMap<Kind, OfKind>, refused: readonly string[]): void {
  console.log(
    `${cpus().length} cores for server, APIs, worker, noise and harness; ${rounds} rounds of ${windowMs / 1_000} s each alone, ` +
      `beside, and with the same noise elsewhere; ${PER_SECOND} postings and ${PER_SECOND} reads a second; ${values.apis} API; ` +
      `units a second of the noisy one: ${values.units ?? 'those of every merchant'}` +
      `${values['without-redis'] ? '; Redis gone' : ''}${values.night === '0' ? '' : `; ${values.night} merchants being settled`}.`,
  );
  console.log(
    `${waitsTable(all, { goal: values.smoke ? undefined : GOAL, longestMs: PATIENCE_MS.delivery })}\n\n${cpuTable(all)}`,
  );
  if (refused.length === 0) return;
  console.log(`The neighbour was refused ${refused.length} times, first with ${refused[0]}`);
  process.exitCode = 1;
}
