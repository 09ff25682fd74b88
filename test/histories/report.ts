import type { Ledger } from './check.js';
import type { Fault, Sort } from './faults.js';
import type { Cut, History } from './history.js';
import type { Outcome, Run } from './run.js';
import { type Counted, NAMES } from './slot.js';
import { TTL_MS } from './world.js';

const NEAR_A_FAULT_MS = 2_000;
const LOST_COMMITS = 'COMMITs that were lost, unanswered or late';

/** What a run hit: none of it may be nothing for long. */
export interface Hit {
  readonly faults: readonly Fault[];
  readonly reads: number;
  readonly fromCacheNearFaults: number;
  readonly acknowledgements: number;
  readonly ambiguous: number;
  readonly ambiguousAndDone: number;
  readonly commitsBefallen: number;
  readonly daysSettled: number;
  readonly payouts: number;
  readonly lives: number;
  readonly whileStopping: number;
  readonly events: number;
  readonly followed: number;
  readonly webhooks: number;
  readonly webhooksTwice: number;
  readonly foreign: number;
  readonly kinds: ReadonlyMap<string, number>;
  readonly counted: Readonly<Record<Counted, number>>;
}

export function hitOf({ history, faults, clients, world, followers }: Run, outcome: Outcome): Hit {
  const slots = [...world.apis, ...world.workers];
  const { ambiguous, ambiguousAndDone, foreign } = clients.counts;
  const hooks = followers.flatMap((follower) => [...follower.hooks.values()]);
  return {
    faults: faults.done,
    reads: history.reads.length,
    fromCacheNearFaults: countNear(history, faults.done),
    acknowledgements: history.acknowledgements.length,
    ambiguous,
    ambiguousAndDone,
    commitsBefallen: world.wires.commitsBefallen(),
    daysSettled: history.settled.length,
    payouts: history.payouts.length,
    lives: outcome.lives,
    whileStopping: outcome.whileStopping,
    events: outcome.events,
    followed: followers.reduce((sum, { told }) => sum + told.length, 0),
    webhooks: hooks.length,
    webhooksTwice: hooks.filter((times) => times > 1).length,
    foreign,
    kinds: kindsOf(history, outcome.ledger),
    counted: Object.fromEntries(
      NAMES.map((name) => [name, slots.reduce((sum, slot) => sum + slot.count(name), 0)]),
    ) as Record<Counted, number>,
  };
}

export function countSorts(faults: readonly Fault[]): Map<Sort, number> {
  return new Map([...Map.groupBy(faults, ({ sort }) => sort)].map(([sort, all]) => [sort, all.length]));
}

export function reportOf(run: Run, outcome: Outcome): string {
  const { history, clients, options, build, world } = run;
  const { counts } = clients;
  const { verdict } = outcome;
  const hit = hitOf(run, outcome);
  const { reads, refusals, asked, acknowledgements } = history;
  const count = <T>(items: readonly T[], isOne: (item: T) => boolean) => items.filter(isOne).length;
  const { cut } = run.faults;
  const excused = [...Map.groupBy(verdict.excused, ({ cause }) => cause)].map(
    ([cause, all]) =>
      `${cause} ${all.length}, by ${Math.max(...all.map(({ behindMs }) => behindMs)).toFixed(0)} ms at most`,
  );
  return [
    `seed ${options.seed}, ${options.policy}${build.planted ? `, planted: ${build.planted}` : ''}; the disk that is filled is ${world.disk.isMounted ? 'a tmpfs' : 'RLIMIT_FSIZE'}`,
    `reads ${reads.length}: ${tally(reads.map(({ consistency }) => consistency))}; with min_version ${count(reads, (read) => read.minVersion > 0)}; of others' accounts, all refused ${hit.foreign}`,
    `served from: ${tally(reads.map(({ source }) => source))}; from the cache during a fault or within 2 s of it ${hit.fromCacheNearFaults}`,
    `asked for ${asked.size}: ${tally([...asked.values()].map(({ kind }) => kind))}; in batches ${history.batches.size}; refused ${refusals.length}: ${tally(refusals.map(({ code }) => code))}`,
    `in the ledger: ${listed(hit.kinds)}; acknowledgements ${acknowledgements.length}, of which replays ${count(acknowledgements, (one) => one.replayed)}`,
    `requests ${counts.postingsSent}, retries ${counts.retries}, timeouts ${counts.timeouts}, broken connections ${counts.brokenConnections}, reads without an answer ${counts.readsFailed}, refusals: ${listed(counts.refusals)}`,
    `ambiguous ${hit.ambiguous}, of which were done ${hit.ambiguousAndDone}; unanswered when the faults were over ${outcome.unsettled}; ${LOST_COMMITS} ${hit.commitsBefallen}`,
    `answered by an API that had been told to stop ${hit.whileStopping}`,
    `days settled ${hit.daysSettled}, payouts ${hit.payouts}, payments told in any order ${hit.lives}`,
    `events ${hit.events}; told to followers ${hit.followed}; webhooks ${hit.webhooks}, more than once ${hit.webhooksTwice}`,
    Object.entries(hit.counted)
      .map(([name, number]) => `${name} ${number}`)
      .join(', '),
    `faults ${hit.faults.length} (${listed(countSorts(hit.faults))}), while requests had no answer ${count(hit.faults, ({ inFlight }) => inFlight > 0)}: ${tally(hit.faults.map(({ kind }) => kind))}`,
    `one API without a Redis that the other reached, during ${(lengthOf(cut) / 1_000).toFixed(1)} s; excused with available (X2, less than ${TTL_MS} ms): ${excused.join('; ') || 'none'}`,
    `healthy ${(outcome.healthyAfterMs / 1_000).toFixed(1)} s after the last fault, the log applied, followed and sent after ${(outcome.appliedAfterMs / 1_000).toFixed(1)} s`,
    ...outcome.books.map(({ name, counted, wrong }) => `${name}: ${counted}, wrong ${wrong}`),
    `wrong ${verdict.wrong.length}, stale = ${verdict.stale.length}, offences ${outcome.offences.length}`,
  ].join('\n');
}

function kindsOf({ asked }: History, { entries }: Ledger): Map<string, number> {
  const kinds = entries.map(({ key, expiryOf, isAdjustment }) =>
    isAdjustment ? 'adjustment' : ((expiryOf === undefined ? asked.get(key)?.kind : 'expiry') ?? '?'),
  );
  return new Map([...Map.groupBy(kinds, (kind) => kind)].map(([kind, all]) => [kind, all.length / 2]));
}

function countNear(history: History, faults: readonly Fault[]): number {
  const isNear = (at: number) => faults.some(({ from, to }) => at >= from && at <= to + NEAR_A_FAULT_MS);
  return history.reads.filter(({ source, invokedAt }) => source === 'cache' && isNear(invokedAt)).length;
}

/** How long at least one of them lasts. */
function lengthOf(intervals: readonly Cut[]): number {
  let [sum, end] = [0, Number.NEGATIVE_INFINITY];
  for (const { from, to } of [...intervals].sort((left, right) => left.from - right.from)) {
    sum += Math.max(0, to - Math.max(from, end));
    end = Math.max(end, to);
  }
  return sum;
}

const listed = (groups: ReadonlyMap<string | number, number>): string =>
  [...groups].map(([name, number]) => `${name} ${number}`).join(', ') || 'none';

const tally = (names: readonly string[]): string =>
  listed(new Map([...Map.groupBy(names, (name) => name)].map(([name, all]) => [name, all.length])));
