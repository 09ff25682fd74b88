import type { Redis } from 'ioredis';
import type { ApiProcess } from './api-process.js';
import { type CacheCallers, PROTOCOLS, type Protocol } from './cache-callers.js';
import { databaseReads, readColdKey } from './cold-key.js';
import { cpuOfMs, cpuOfServerMs } from './cpu.js';
import type { Generator } from './generator-process.js';
import type { LoneCaller } from './lone-caller.js';
import type { OutboxTrials } from './outbox-trials.js';
import { tellCauses } from './parked-facts.js';
import { type Reference, runReference } from './pgbench.js';
import { type RedisCounts, redisCounts } from './redis-counts.js';
import type { BenchMerchant, Load } from './requests.js';
import type { TrialResult } from './trial-result.js';

export const CALLERS = [1, 16, 64, 256] as const;
const BATCH = 100;
export const BATCH_CALLERS = 16;
const LATE_MS = 3_600_000;
/** Accounts of each merchant: so few that each is read many times before its cached balance expires. */
const WORKING_SET = 25;

/** What a trial measures; the number is that of its callers. */
export type TrialName =
  | 'reference uniform'
  | 'reference hot'
  | `uniform ${(typeof CALLERS)[number]}`
  | 'hot 64'
  | 'hot 256'
  | 'batch'
  | 'late 64'
  | `without cache ${1 | 16 | 64 | 256}`
  | `without events ${64 | 256}`
  | `${'traced' | 'untraced'} 64`
  | `read ${'traced' | 'untraced'} 64`
  | 'facts 64'
  | 'facts batch'
  | 'payments 64'
  | HalfLoad
  | 'parked fact'
  | 'drain'
  | 'lag at half load'
  | 'idle worker'
  | 'read cached 64'
  | 'read cached set 64'
  | 'read cached hot 64'
  | 'read database 64'
  | 'read bare 64'
  | 'cold key'
  | `post: ${Protocol}`
  | `read: ${Protocol}`
  | 'by hand'
  | 'writer';

type HalfLoad = 'postings at half load' | 'facts at half load';

export type Round = Map<TrialName, TrialResult>;

/**
 * `at`: the API with the cache (default), the one without, the one that tells no events, the one that is traced, one that has been through
 * as much as that and is not, or the bare server.
 */
type TrialLoad = Pick<Load, 'callers' | 'spread' | 'batch' | 'lateMs' | 'of' | 'read' | 'among' | 'perSecond'> & {
  at?: 'plain' | 'without events' | 'traced' | 'other' | 'bare';
};

const READ_SET: TrialLoad = { callers: 64, spread: 'uniform', batch: 1, lateMs: 0, read: true, among: WORKING_SET };

const LOADS: Partial<Record<TrialName, TrialLoad>> = {
  'uniform 1': { callers: 1, spread: 'uniform', batch: 1, lateMs: 0 },
  'uniform 16': { callers: 16, spread: 'uniform', batch: 1, lateMs: 0 },
  'uniform 64': { callers: 64, spread: 'uniform', batch: 1, lateMs: 0 },
  'uniform 256': { callers: 256, spread: 'uniform', batch: 1, lateMs: 0 },
  'hot 64': { callers: 64, spread: 'hot', batch: 1, lateMs: 0 },
  'hot 256': { callers: 256, spread: 'hot', batch: 1, lateMs: 0 },
  batch: { callers: BATCH_CALLERS, spread: 'uniform', batch: BATCH, lateMs: 0 },
  'late 64': { callers: 64, spread: 'uniform', batch: 1, lateMs: LATE_MS },
  'facts 64': { callers: 64, spread: 'uniform', batch: 1, lateMs: 0, of: 'facts' },
  'facts batch': { callers: BATCH_CALLERS, spread: 'uniform', batch: BATCH, lateMs: 0, of: 'facts' },
  'payments 64': { callers: 64, spread: 'uniform', batch: 1, lateMs: 0, of: 'payments' },
  'without cache 1': { callers: 1, spread: 'uniform', batch: 1, lateMs: 0, at: 'plain' },
  'without cache 16': { callers: 16, spread: 'uniform', batch: 1, lateMs: 0, at: 'plain' },
  'without cache 64': { callers: 64, spread: 'uniform', batch: 1, lateMs: 0, at: 'plain' },
  'without cache 256': { callers: 256, spread: 'uniform', batch: 1, lateMs: 0, at: 'plain' },
  'without events 64': { callers: 64, spread: 'uniform', batch: 1, lateMs: 0, at: 'without events' },
  'without events 256': { callers: 256, spread: 'uniform', batch: 1, lateMs: 0, at: 'without events' },
  'traced 64': { callers: 64, spread: 'uniform', batch: 1, lateMs: 0, at: 'traced' },
  'untraced 64': { callers: 64, spread: 'uniform', batch: 1, lateMs: 0, at: 'other' },
  'read traced 64': { ...READ_SET, at: 'traced' },
  'read untraced 64': { ...READ_SET, at: 'other' },
  'read cached 64': { callers: 64, spread: 'uniform', batch: 1, lateMs: 0, read: true },
  'read cached set 64': READ_SET,
  'read cached hot 64': { callers: 64, spread: 'hot', batch: 1, lateMs: 0, read: true },
  'read database 64': { callers: 64, spread: 'uniform', batch: 1, lateMs: 0, read: true, at: 'plain' },
  'read bare 64': { callers: 64, spread: 'uniform', batch: 1, lateMs: 0, read: true, at: 'bare' },
};

/** Each is sent at half the rate that its own full load has just reached. */
const HALF_LOADS: Record<HalfLoad, 'uniform 64' | 'facts 64'> = {
  'postings at half load': 'uniform 64',
  'facts at half load': 'facts 64',
};

/** Neighbours are compared with each other: a noisy minute then falls on both sides of a ratio. */
export const ORDER: readonly TrialName[] = [
  'by hand',
  'writer',
  ...PROTOCOLS.map((protocol) => `post: ${protocol}` as const),
  'read: ours',
  'read: delete-after-commit',
  'read: lock-with-ttl',
  'uniform 1',
  'without cache 1',
  'uniform 16',
  'without cache 16',
  'facts batch',
  'batch',
  'reference uniform',
  'without cache 64',
  'uniform 64',
  'untraced 64',
  'traced 64',
  'payments 64',
  'facts 64',
  'postings at half load',
  'facts at half load',
  'parked fact',
  'without events 64',
  'without cache 256',
  'uniform 256',
  'without events 256',
  'drain',
  'lag at half load',
  'idle worker',
  'late 64',
  'hot 64',
  'reference hot',
  'hot 256',
  'read cached 64',
  'read database 64',
  'read bare 64',
  'read cached set 64',
  'read untraced 64',
  'read traced 64',
  'read cached hot 64',
  'cold key',
];

export interface Bench {
  api: ApiProcess;
  /** The same without REDIS_URL: no fences, reads from the database. */
  plain: ApiProcess;
  bare: ApiProcess;
  /** With the cache, and one request in a hundred traced. */
  traced: ApiProcess;
  /** With the cache, and without the rows of the outbox. */
  'without events': ApiProcess;
  outbox: OutboxTrials;
  /** A second one with the cache: for what two do to one key, and beside the one that is traced. */
  other: ApiProcess;
  redis: Redis;
  merchant: BenchMerchant;
  generator: Generator;
  loneCaller: LoneCaller;
  cacheCallers: CacheCallers;
  reference: Reference | undefined;
  postmasterPid: number | undefined;
  times: { warmUpMs: number; measureMs: number };
  /** Of one key that the cache does not hold. */
  coldReads: number;
  /** Each sends one at least, however short the trial is. */
  batchCallers: number;
  /** The trials to run; empty: all. */
  only: readonly string[];
  /** Told of requests that were refused. */
  onRefused(trial: TrialName, count: number, first: string): void;
}

/** One round: every trial once; odd rounds in one order, even ones in the other. */
export async function runRound(bench: Bench, number: number): Promise<Round> {
  const round: Round = new Map();
  const wanted = ORDER.filter((name) => bench.only.length === 0 || bench.only.includes(name));
  for (const name of number % 2 === 0 ? wanted.toReversed() : wanted) {
    const result = await Promise.race([runTrial(bench, name), bench.api.lost]);
    if (result) round.set(name, result);
  }
  return round;
}

async function runTrial(bench: Bench, name: TrialName): Promise<TrialResult | undefined> {
  switch (name) {
    case 'reference uniform':
      return referenceTrial(bench, 'uniform');
    case 'reference hot':
      return referenceTrial(bench, 'hot');
    case 'by hand':
      return bench.loneCaller.byHand(bench.times);
    case 'writer':
      return bench.loneCaller.throughWriter(bench.times);
    case 'drain':
      return bench.outbox.drain(bench.times);
    case 'lag at half load':
      return bench.outbox.lag(bench.times);
    case 'idle worker':
      return bench.outbox.idle(bench.times);
    case 'parked fact':
      return tellCauses(bench.api, bench.merchant, bench.times);
    case 'postings at half load':
    case 'facts at half load':
      return halfLoadTrial(bench, name);
    case 'cold key':
      return readColdKey([bench.api, bench.other], bench.redis, bench.merchant, bench.coldReads);
    default: {
      const [what, protocol] = name.split(': ') as ['post' | 'read', Protocol?];
      return protocol ? bench.cacheCallers.of(protocol)[what](bench.times) : loadTrial(bench, name);
    }
  }
}

async function referenceTrial(
  { reference, times }: Bench,
  script: 'uniform' | 'hot',
): Promise<TrialResult | undefined> {
  if (!reference) return undefined;
  const perSecond = await runReference(reference, script, (times.warmUpMs + times.measureMs) / 1_000);
  return { perSecond, p50: Number.NaN, p99: Number.NaN, p999: Number.NaN };
}

async function halfLoadTrial(bench: Bench, name: HalfLoad): Promise<TrialResult> {
  const full = HALF_LOADS[name];
  const { perSecond } = await loadTrial(bench, full);
  return loadTrial(bench, full, perSecond / 2);
}

async function loadTrial(bench: Bench, name: TrialName, perSecond?: number): Promise<TrialResult> {
  const { generator, postmasterPid, times, redis } = bench;
  const known = LOADS[name];
  if (!known) throw new Error(`no load is called ${name}`);
  const callers = known.batch > 1 ? bench.batchCallers : known.callers;
  const { at, ...load } = { ...known, callers, perSecond };
  const api = at ? bench[at] : bench.api;
  const count = () => ({
    api: cpuOfMs(api.pid),
    postgres: postmasterPid === undefined ? undefined : cpuOfServerMs(postmasterPid),
    cache: at ? undefined : Promise.all([redisCounts(redis), databaseReads([api])]),
  });
  let before = count();
  let after = before;
  const result = await generator.run(
    { ...load, ...times, port: api.port },
    {
      measuring: () => {
        before = count();
      },
      measured: () => {
        after = count();
      },
    },
  );
  if (result.refused > 0) bench.onRefused(name, result.refused, result.firstRefusal ?? '');
  const transactions = result.requests * load.batch;
  const each = (from: number | undefined, to: number | undefined): number | undefined =>
    from === undefined || to === undefined ? undefined : ((to - from) * 1_000) / transactions;
  const [cacheBefore, cacheAfter] = await Promise.all([before.cache, after.cache]);
  return {
    perSecond: transactions / result.seconds,
    p50: result.p50,
    p99: result.p99,
    p999: result.p999,
    ...(cacheBefore && cacheAfter && cacheCosts(cacheBefore, cacheAfter, transactions)),
    cpu: {
      apiUs: each(before.api, after.api),
      postgresUs: each(before.postgres, after.postgres),
      generatorUs: (result.cpuMs * 1_000) / transactions,
    },
  };
}

type CacheCounts = readonly [redis: RedisCounts, databaseReads: number];

function cacheCosts(before: CacheCounts, after: CacheCounts, transactions: number): Partial<TrialResult> {
  return {
    redis: {
      calls: (after[0].calls - before[0].calls) / transactions,
      commands: (after[0].commands - before[0].commands) / transactions,
    },
    databaseReads: (after[1] - before[1]) / transactions,
  };
}
