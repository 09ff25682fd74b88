import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { BatchApplier, describe } from '#outbox/consumers/batch-applier.js';
import { type Consumer, type LoggedEvent, Unprocessable } from '#outbox/consumers/consumer.js';
import { isBefore, type Position } from '#outbox/log/position.js';
import { Deadline } from '#platform/deadline.js';
import { merchantPages } from '#platform/merchant-pages.js';
import { type Database, type TransactionClient } from '#platform/postgres.js';
import { DailySummaries } from './daily-summaries.js';
import {
  checkClaim,
  type EventKey,
  endAbandonedRebuilds,
  enterMerchantsOf,
  isLockTimeout,
  lettersNotApplied,
  lockLive,
  type Names,
  RebuildStore,
  readRedriven,
  readRest,
  serve,
} from './rebuild-store.js';

/** Whoever is killed keeps the next rebuild waiting for this long. */
const CLAIM_MS = 30_000;
const PAGE_EVENTS = 1_000;
const PAGE_MS = 20_000;
const PAGE_TRIES = 3;
/** A page whose transaction is lost keeps its partition for longer than PAGE_MS. */
const BUSY_TRIES = 150;
const RETRY_MS = 200;
/** Most events that are applied while the live consumer stands still; with more the log is gone through once more. */
const SWITCH_EVENTS = 2_000;
/** How long the live consumer may keep us waiting, while others of its partitions stand still already. */
const SWITCH_LOCK_MS = 500;
const SWITCH_MS = 10_000;
/** Times that the log is gone through from where the time before ended. */
const ROUNDS = 10_000;

export interface Rebuilt {
  generation: number;
  events: number;
  /** How long the live consumer stood still, in milliseconds. */
  stoodStillMs: number;
}

/** Somebody else is rebuilding it, or did a moment ago and was killed. */
export class RebuildRefused extends Error {
  override name = 'RebuildRefused';
}

/**
 * Folds `daily_summaries` anew from the log, beside the one that is served and while it goes on, and then serves the new
 * one. Every attempt begins at the beginning, under a generation and a consumer's name of its own, so that it may be killed
 * at any moment: what it leaves is never served, and the next one deletes it. Throws RebuildRefused.
 */
export async function rebuildDailySummaries(
  database: Database,
  onProgress: (events: number) => void = () => undefined,
): Promise<Rebuilt> {
  const store = new RebuildStore(database);
  const live = new DailySummaries().name;
  if (await store.hasForgotten()) {
    throw new RebuildRefused('the log no longer reaches back to its beginning (EVENT_RETENTION_DAYS)');
  }
  const claimed = await store.claim(live, CLAIM_MS);
  if (!claimed) {
    throw new RebuildRefused(
      `${live} is being rebuilt by another process; if that one was killed, wait ${CLAIM_MS / 1_000} s`,
    );
  }
  const { served, own: generation } = claimed;
  const consumer = new PassingOver(new DailySummaries(generation), live);
  const names: Names = { projection: live, live, own: consumer.name };
  const claim = new Claim(store, names.projection, generation);
  try {
    await store.begin(names, generation);
    await purge(database, store, [
      { first: 0, end: served },
      { first: served + 1, end: generation },
    ]);
    const rebuild = new Rebuild(database, store, names, { generation, consumer, claim, onProgress });
    const rebuilt = await rebuild.run();
    await purge(database, store, [{ first: 0, end: generation }]);
    return rebuilt;
  } finally {
    await claim.end();
    // What this attempt has not brought to its end, nobody will. Best effort: a worker does it, too.
    await endAbandonedRebuilds(database).catch(() => undefined);
  }
}

/** Keeps the claim alive. It orders rebuilds; what fences them are the generation's number and the positions. */
class Claim {
  readonly #timer: NodeJS.Timeout;
  #isLost = false;

  constructor(
    private readonly store: RebuildStore,
    private readonly projection: string,
    private readonly generation: number,
  ) {
    this.#timer = setInterval(() => void this.#renew(), CLAIM_MS / 3);
  }

  check(): void {
    if (this.#isLost) throw new Error('another rebuild has taken over');
  }

  async end(): Promise<void> {
    clearInterval(this.#timer);
    await this.store.renew(this.projection, this.generation, 0).catch(() => undefined);
  }

  async #renew(): Promise<void> {
    const isOurs = await this.store.renew(this.projection, this.generation, CLAIM_MS).catch(() => true);
    if (!isOurs) this.#isLost = true;
  }
}

/**
 * Applies what the live consumer has applied, and passes over what it has left as dead letters: both then mean the same.
 * Whether a letter is redriven afterwards is looked up when the generations change.
 */
class PassingOver implements Consumer {
  readonly failureScope = 'event';
  readonly #inner: Consumer;
  readonly #live: string;
  readonly #passed = new Map<string, EventKey>();

  constructor(inner: Consumer, live: string) {
    this.#inner = inner;
    this.#live = live;
  }

  get name(): string {
    return this.#inner.name;
  }

  get passed(): readonly EventKey[] {
    return [...this.#passed.values()];
  }

  async apply(client: TransactionClient, events: readonly LoggedEvent[]): Promise<void> {
    const letters = await lettersNotApplied(client, this.#live, extent(events));
    const left = new Set(letters.map(keyOf));
    // A page may be tried twice, and a letter be redriven in between: what the last try did is what counts.
    for (const event of events) {
      if (left.has(keyOf(event))) this.#passed.set(keyOf(event), event);
      else this.#passed.delete(keyOf(event));
    }
    const due = events.filter((event) => !left.has(keyOf(event)));
    if (due.length > 0) await this.applyAll(client, due);
  }

  async applyAll(client: TransactionClient, events: readonly LoggedEvent[]): Promise<void> {
    try {
      await this.#inner.apply(client, events, () => undefined);
    } catch (error) {
      // The live consumer could: nothing is parked here, the rebuild ends.
      if (error instanceof Unprocessable) throw new Error(describe(error), { cause: error });
      throw error;
    }
  }
}

class Rebuild {
  readonly #applier: BatchApplier;
  #events = 0;

  constructor(
    private readonly database: Database,
    private readonly store: RebuildStore,
    private readonly names: Names,
    private readonly parts: {
      generation: number;
      consumer: PassingOver;
      claim: Claim;
      onProgress: (events: number) => void;
    },
  ) {
    // Never a dead letter: what fails for good ends the rebuild.
    const options = { pageEvents: PAGE_EVENTS, maxTries: Number.MAX_SAFE_INTEGER, timeoutMs: PAGE_MS };
    this.#applier = new BatchApplier(database, parts.consumer, randomUUID(), options);
  }

  async run(): Promise<Rebuilt> {
    for (let round = 1; round <= ROUNDS; round += 1) {
      if ((await this.#catchUp()) > SWITCH_EVENTS) continue;
      const stoodStillMs = await this.#switch();
      if (stoodStillMs !== undefined) {
        return { generation: this.parts.generation, events: this.#events, stoodStillMs };
      }
      await sleep(Math.random() * RETRY_MS);
    }
    throw new Error('the live consumer was never idle, or always too far ahead');
  }

  /** To where the live consumer stands, and no further: whatever lies below has an outcome there. Returns how many events. */
  async #catchUp(): Promise<number> {
    const before = this.#events;
    for (const { partition, through } of await this.store.behind(this.names)) await this.#fold(partition, through);
    return this.#events - before;
  }

  async #fold(partition: number, through: Position): Promise<void> {
    const run = { partition, through, letterId: 0n };
    for (let failures = 0, busy = 0; ; ) {
      try {
        const { outcome, events } = await this.#applier.run(run, () => this.parts.claim.check());
        this.#events += events;
        this.parts.onProgress(this.#events);
        if (outcome === 'done') return;
        busy += 1;
        if (busy === BUSY_TRIES) throw new Error(`partition ${partition} is never free`);
      } catch (error) {
        this.parts.claim.check();
        failures += 1;
        if (failures === PAGE_TRIES) throw error;
      }
      await sleep(RETRY_MS);
    }
  }

  /**
   * With the positions of the live consumer locked, and so without any effect of its own or of a redrive under way, applies
   * the rest and serves the new generation: all or nothing. Undefined: not now. Returns how long it stood still.
   */
  async #switch(): Promise<number | undefined> {
    const { names, database } = this;
    const { generation, consumer } = this.parts;
    const deadline = Deadline.after(SWITCH_MS);
    let lockedMs = 0;
    try {
      const isServed = await database.transaction('relay', deadline, async (client) => {
        await checkClaim(client, names.projection, generation);
        lockedMs = performance.now();
        await lockLive(client, names.live, SWITCH_LOCK_MS);
        const rest = await readRest(client, names, SWITCH_EVENTS + 1);
        if (rest.length > SWITCH_EVENTS) return false;
        const redriven = await readRedriven(client, names.live, consumer.passed);
        if (redriven.length > 0) {
          await enterMerchantsOf(client, redriven, deadline);
          await consumer.applyAll(client, redriven);
        }
        if (rest.length > 0) {
          await enterMerchantsOf(client, rest, deadline);
          await consumer.apply(client, rest);
        }
        await serve(client, names, generation);
        this.#events += rest.length + redriven.length;
        return true;
      });
      return isServed ? performance.now() - lockedMs : undefined;
    } catch (error) {
      if (isLockTimeout(error)) return undefined;
      throw error;
    }
  }
}

async function purge(
  database: Database,
  store: RebuildStore,
  generations: readonly { first: number; end: number }[],
): Promise<void> {
  for await (const merchantIds of merchantPages(database, () => Deadline.after(PAGE_MS))) {
    for (const range of generations) await store.purge(merchantIds, range);
  }
}

/** The first and the last place among these events, which may come from several partitions. */
function extent(events: readonly LoggedEvent[]): { from: Position; to: Position } {
  let [from, to] = [events[0] as Position, events[0] as Position];
  for (const event of events) {
    if (isBefore(event, from)) from = event;
    if (isBefore(to, event)) to = event;
  }
  return { from, to };
}

function keyOf({ merchantId, xid, seq }: EventKey): string {
  return `${merchantId} ${xid} ${seq}`;
}
