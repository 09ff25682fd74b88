import { setTimeout as sleep } from 'node:timers/promises';
import { type Clock, systemClock } from '#kernel/clock.js';
import { Deadline } from '#platform/deadline.js';
import { Histogram } from '#platform/histogram.js';
import type { Logger } from '#platform/logging.js';
import { merchantPages } from '#platform/merchant-pages.js';
import type { Database } from '#platform/postgres.js';
import type { PublicHttp } from '#platform/public-http.js';
import type { DeliveryStore, EndpointLease } from './delivery-store.js';
import { DueTimes } from './due-times.js';
import { type Room, Rooms, type RoomsOptions } from './rooms.js';
import { Turn, type TurnHost, type TurnOptions } from './turn.js';

/** How much longer than one request a lease lasts: its record, and a busy process, must fit in. */
const LEASE_MARGIN_MS = 10_000;
/** How often one look asks for more of one page of merchants, before it goes on to the others. */
const CLAIMS_PER_PAGE = 10;
/** Merchants that are looked for in one query, and wakes that are told apart: beyond that everybody is looked for. */
const MERCHANTS_PER_PAGE = 500;
const MOST_WANTED = 10_000;
/** Shortest time from one look to the next, however often we are woken. */
const LOOK_EVERY_MS = 20;
/** After a look that failed: the database has other worries. */
const FAILED_LOOK_DELAY_MS = 1_000;
/** How long requests in hand may go on when the process ends; then they are dropped and sent again by another one. */
const STOP_GRACE_MS = 3_000;
const PAGE_DEADLINE_MS = 5_000;

export interface SenderOptions extends Omit<TurnOptions, 'leaseMs'>, RoomsOptions {
  /** The deadline of one request: PublicHttp's. */
  timeoutMs: number;
  /** The longest that something due may go unnoticed when nobody tells. */
  pollMs: number;
}

/**
 * Sends what is due, at least once. An endpoint is taken by lease; all state is PostgreSQL's. Whoever dies or sleeps between a
 * request and its record leaves the delivery due, and it goes out again under the same webhook-id; whoever wakes up behind
 * its lease can record nothing, because its epoch is over. It looks for work when it is woken, when a time comes that it
 * knows of, when a turn ends, and, for what nobody told it of, in `round`.
 */
export class WebhookSender implements TurnHost {
  readonly rooms: Rooms;
  readonly counts = { delivered: 0, retried: 0, failed: 0, lapsed: 0, fenced: 0, aborted: 0, disabled: 0, errors: 0 };
  readonly durations = { delivered: new Histogram(), failed: new Histogram() };
  readonly #parts: { database: Database; store: DeliveryStore; http: PublicHttp; logger: Logger };
  readonly #options: SenderOptions & TurnOptions;
  readonly #clock: Clock;
  readonly #turns = new Map<Turn, Promise<void>>();
  readonly #abort = new AbortController();
  readonly #dueTimes: DueTimes;
  #wanted: Set<bigint> | 'all' = new Set();
  #looking: Promise<number> | undefined;
  #lastLookMs = -Infinity;
  #isStarted = false;
  #isStopped = false;

  constructor(
    parts: { database: Database; store: DeliveryStore; http: PublicHttp; logger: Logger },
    options: SenderOptions,
    clock: Clock = systemClock,
  ) {
    this.#parts = parts;
    this.#options = { ...options, leaseMs: options.timeoutMs + LEASE_MARGIN_MS };
    this.rooms = new Rooms(options, (merchantId) => this.#lookFor([merchantId]));
    this.#clock = clock;
    this.#dueTimes = new DueTimes((merchantIds) => this.wake(merchantIds), clock);
  }

  /** Endpoints that are being sent to. */
  get busy(): number {
    return this.#turns.size;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** From now on it goes by itself. */
  start(): void {
    this.#isStarted = true;
    this.wake();
  }

  /** Something may have become due: to these merchants, or to anybody. */
  wake(merchantIds?: readonly bigint[]): void {
    this.#lookFor(merchantIds);
    for (const turn of this.#turns.keys()) {
      if (merchantIds === undefined || merchantIds.includes(turn.merchantId)) turn.look();
    }
  }

  /**
   * Goes through all merchants once and begins a turn for every endpoint that has something due, as far as there is room.
   * Returns how many; the turns go on by themselves.
   */
  round(): Promise<number> {
    this.wake();
    return this.#look();
  }

  /** Resolves when no turn is in hand any more. */
  async idle(): Promise<void> {
    while (this.#turns.size > 0) await Promise.race(this.#turns.values());
  }

  /** Begins nothing more, lets requests in hand end for a moment, then drops them. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#dueTimes.close();
    const timer = setTimeout(() => this.#abort.abort(), STOP_GRACE_MS);
    await this.idle();
    clearTimeout(timer);
    await this.#looking?.catch(() => undefined);
  }

  dueIn(merchantId: bigint, ms: number): void {
    if (this.#isStarted && !this.#isStopped) this.#dueTimes.add(merchantId, ms);
  }

  #lookFor(merchantIds: readonly bigint[] | undefined): void {
    this.#want(merchantIds);
    if (this.#isStarted) this.#lookByItself();
  }

  #want(merchantIds: readonly bigint[] | undefined): void {
    if (this.#wanted === 'all') return;
    for (const merchantId of merchantIds ?? []) this.#wanted.add(merchantId);
    if (merchantIds === undefined || this.#wanted.size > MOST_WANTED) this.#wanted = 'all';
  }

  get #isWanted(): boolean {
    return !this.#isStopped && (this.#wanted === 'all' || this.#wanted.size > 0);
  }

  #lookByItself(): void {
    if (!this.#isWanted || this.#looking) return;
    this.#look().catch(async (error) => {
      this.#parts.logger.warn({ err: error }, 'webhooks that are due could not be looked for');
      await sleep(FAILED_LOOK_DELAY_MS, undefined, { ref: false });
      this.wake();
    });
  }

  /** One look at a time: what is wanted meanwhile is looked for in the same one. */
  #look(): Promise<number> {
    this.#looking ??= this.#lookUntilNobodyIsWanted().finally(() => {
      this.#looking = undefined;
      if (this.#isStarted) this.#lookByItself();
    });
    return this.#looking;
  }

  async #lookUntilNobodyIsWanted(): Promise<number> {
    let begun = 0;
    while (this.#isWanted) {
      const waitMs = this.#lastLookMs + LOOK_EVERY_MS - this.#clock.monotonic();
      if (this.#isStarted && waitMs > 0) await sleep(waitMs);
      this.#lastLookMs = this.#clock.monotonic();
      const wanted = this.#wanted;
      this.#wanted = new Set();
      for await (const page of this.#pagesOf(wanted)) begun += await this.#claim(page);
    }
    return begun;
  }

  async *#pagesOf(wanted: ReadonlySet<bigint> | 'all'): AsyncGenerator<bigint[]> {
    if (wanted === 'all') return yield* merchantPages(this.#parts.database, () => Deadline.after(PAGE_DEADLINE_MS));
    const merchantIds = [...wanted];
    for (let from = 0; from < merchantIds.length; from += MERCHANTS_PER_PAGE)
      yield merchantIds.slice(from, from + MERCHANTS_PER_PAGE);
  }

  async #claim(merchantIds: readonly bigint[]): Promise<number> {
    let begun = 0;
    for (let claims = 0; claims < CLAIMS_PER_PAGE; claims += 1) {
      await this.#untilRoom();
      if (this.#isStopped) return begun;
      const limit = this.rooms.reserve();
      const count = await this.#claimInTurn(merchantIds, limit);
      begun += count;
      if (count < limit) return begun + (await this.#learnDueTimes(merchantIds));
    }
    if (this.#isStarted) this.#want(merchantIds);
    return begun;
  }

  /** Whoever has least in hand comes first, and nobody gets more than its part. */
  async #claimInTurn(merchantIds: readonly bigint[], limit: number): Promise<number> {
    const { leaseMs, merchantConcurrency: most } = this.#options;
    const claimedMs = this.#clock.monotonic();
    const inHand = merchantIds.map((merchantId) => this.rooms.inHandOf(merchantId));
    let leases: EndpointLease[] = [];
    let rooms: Room[] = [];
    try {
      leases = await this.#parts.store.claim(merchantIds, { leaseMs, limit, inHand, most });
    } finally {
      rooms = this.rooms.settle(merchantIds, leases);
    }
    for (const [place, lease] of leases.entries()) this.#begin(lease, rooms[place] as Room, claimedMs);
    return leases.length;
  }

  /** When the merchants' next deliveries become due, as far as that is before we look at everything again. */
  async #learnDueTimes(merchantIds: readonly bigint[]): Promise<0> {
    if (!this.#isStarted) return 0;
    // What is due to the others is claimed when they have room.
    const learnt = merchantIds.filter((merchantId) => !this.rooms.isAtEnd(merchantId));
    const times = await this.#parts.store.dueTimes(learnt, 2 * this.#options.pollMs);
    for (const { merchantId, inMs } of times) this.dueIn(merchantId, inMs);
    return 0;
  }

  async #untilRoom(): Promise<void> {
    while (this.rooms.isFull && !this.#isStopped) {
      this.rooms.isAwaited = true;
      await this.rooms.given;
    }
    this.rooms.isAwaited = false;
  }

  #begin(lease: EndpointLease, room: Room, claimedMs: number): void {
    const { store, http, logger } = this.#parts;
    const turn = new Turn({ lease, room, claimedMs }, { store, http, clock: this.#clock }, this, this.#options);
    const ended = turn
      .run()
      .catch((error) => {
        this.counts.errors += 1;
        // The lease runs out by itself, and what was due is due.
        this.dueIn(lease.merchantId, this.#options.leaseMs);
        logger.warn({ err: error, endpoint_id: String(lease.endpointId) }, 'a turn of webhooks ended early');
      })
      .finally(() => {
        this.#turns.delete(turn);
        turn.giveRoom();
        // What became due while the lease was held was nobody else's to take.
        if (this.#isStarted) this.wake([lease.merchantId]);
      });
    this.#turns.set(turn, ended);
  }
}
