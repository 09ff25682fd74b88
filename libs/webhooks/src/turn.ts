import type { Span } from '@opentelemetry/api';
import type { Clock } from '#kernel/clock.js';
import type { Histogram } from '#platform/histogram.js';
import type { PublicHttp } from '#platform/public-http.js';
import { inSpan } from '#platform/tracing.js';
import { attemptOf, deliverySpan } from './attempt.js';
import type { DeliveryStore, DueDelivery, EndpointLease, Verdict } from './delivery-store.js';
import type { RetryRules } from './retry-schedule.js';
import type { Room, Rooms } from './rooms.js';

/**
 * No request begins later than this after the claim, or the renewal, that it rests on. A process that slept finds its time
 * over: shorter than what every lease has left, so that whoever still sends still holds it. And secrets are as old at most.
 */
const TURN_MS = 5_000;
/** While others wait, a turn begins nothing more after so long. */
const AWAITED_TURN_MS = 500;
/** Deliveries read at once. */
const LINE_LENGTH = 50;

export interface TurnOptions extends RetryRules {
  /** Requests that an endpoint without order gets at once. */
  endpointConcurrency: number;
  leaseMs: number;
  disableAfterMs: number;
  /** A request that is not answered after so long is a slow one. */
  slowMs: number;
}

/** What a turn asks of its sender, whose requests it shares with other turns. */
export interface TurnHost {
  readonly counts: Record<'delivered' | 'retried' | 'failed' | 'lapsed' | 'fenced' | 'aborted' | 'disabled', number>;
  /** Of requests that were answered or failed. */
  readonly durations: Readonly<Record<'delivered' | 'failed', Histogram>>;
  readonly signal: AbortSignal;
  readonly isStopped: boolean;
  readonly rooms: Rooms;
  /** Something of the merchant's becomes due in so many milliseconds. */
  dueIn(merchantId: bigint, ms: number): void;
}

/** Sends to one endpoint for as long as its lease is ours, there is something due and others do not wait. */
export class Turn {
  #lease: EndpointLease;
  readonly #parts: { store: DeliveryStore; http: PublicHttp; clock: Clock };
  readonly #host: TurnHost;
  readonly #options: TurnOptions;
  readonly #claimedMs: number;
  /** Its own: what it has in hand, or is about to have. */
  #room: Room;
  #safeUntilMs: number;
  /** Nothing more may be sent: the lease is lost, the endpoint disabled, or the process ends. */
  #isOver = false;
  #failure: unknown;
  #isDry = false;
  #isReading = false;
  /** The record of the last delivery is under way, and may end the lease: nothing begins meanwhile. */
  #isEnding = false;
  #isReleased = false;
  #woken = Promise.withResolvers<void>();

  /** `claimedMs`: the monotonic time before the claim. */
  constructor(
    { lease, room, claimedMs }: { lease: EndpointLease; room: Room; claimedMs: number },
    parts: { store: DeliveryStore; http: PublicHttp; clock: Clock },
    host: TurnHost,
    options: TurnOptions,
  ) {
    this.#lease = lease;
    this.#room = room;
    this.#parts = parts;
    this.#host = host;
    this.#options = options;
    this.#claimedMs = claimedMs;
    this.#safeUntilMs = claimedMs + TURN_MS;
  }

  get merchantId(): bigint {
    return this.#lease.merchantId;
  }

  /** Rejects when something was not recorded; the lease then runs out by itself, and what was due is due. */
  async run(): Promise<void> {
    await (this.#lease.ordering === 'strict' ? this.#inOrder() : this.#atOnce());
    if (this.#failure !== undefined) throw this.#failure;
    if (!this.#isReleased) await this.#parts.store.release(this.#lease);
  }

  /** When it has ended. */
  giveRoom(): void {
    this.#host.rooms.give(this.#room);
  }

  /** Something may have become due meanwhile. */
  look(): void {
    this.#isDry = false;
    this.#woken.resolve();
  }

  async #inOrder(): Promise<void> {
    for (;;) {
      const line = await this.#parts.store.line(this.#lease, LINE_LENGTH);
      for (const [place, delivery] of line.entries()) {
        if (!delivery.isDue || !this.#mayBegin() || this.#parts.clock.monotonic() > this.#safeUntilMs) return;
        const verdict = await this.#deliver(delivery, this.#room, () => place === line.length - 1);
        // The head of the line backs off, and what is behind it must not pass it.
        if (this.#isOver || verdict === 'due') return;
      }
      if (line.length === 0) return;
    }
  }

  /** A delivery that fails waits for its own next try; the others go on, several at a time. */
  async #atOnce(): Promise<void> {
    const inHand = new Map<bigint, Promise<void>>();
    let due: DueDelivery[] = [];
    for (;;) {
      let noRoom: Promise<void> | undefined;
      while (inHand.size < this.#options.endpointConcurrency && this.#mayBegin()) {
        if (due.length === 0) due = await this.#read([...inHand.keys()]);
        const [next] = due;
        if (!next) {
          // Woken while the line was read: it may be out of date.
          if (!this.#isDry) continue;
          break;
        }
        if (!(await this.#isSafe())) break;
        const { given } = this.#host.rooms;
        const room = inHand.size === 0 ? this.#room : this.#host.rooms.take(this.merchantId);
        if (!room) {
          noRoom = given;
          break;
        }
        due.shift();
        const ended = this.#deliver(next, room, () => this.#knowsOfNone && due.length === 0 && inHand.size === 1)
          .catch((error) => {
            this.#failure ??= error;
            this.#isOver = true;
          })
          .then(() => {
            inHand.delete(next.id);
            if (inHand.size > 0) this.#host.rooms.give(room);
            else this.#room = room;
          });
        inHand.set(next.id, ended);
      }
      if (inHand.size === 0) return;
      // What may let it begin more: an end, room, or something that is due. With all its requests in hand only the first does.
      this.#woken = Promise.withResolvers();
      await Promise.race([...inHand.values(), noRoom ?? this.#woken.promise]);
    }
  }

  /** What it has read is all that was due, and nobody has told of more. */
  get #knowsOfNone(): boolean {
    return this.#isDry && !this.#isReading;
  }

  #mayBegin(): boolean {
    if (this.#isOver || this.#isEnding || this.#host.isStopped) return false;
    if (!this.#host.rooms.isAwaitedBy(this.merchantId)) return true;
    return this.#parts.clock.monotonic() <= this.#claimedMs + AWAITED_TURN_MS;
  }

  async #read(inHand: readonly bigint[]): Promise<DueDelivery[]> {
    if (this.#isDry) return [];
    this.#isDry = true;
    this.#isReading = true;
    const due = await this.#parts.store.due(this.#lease, inHand, LINE_LENGTH);
    this.#isReading = false;
    if (due.length === LINE_LENGTH) this.#isDry = false;
    return due;
  }

  /** Whether a request may rest on the lease: it is renewed when its time is over, unless it is somebody else's by now. */
  async #isSafe(): Promise<boolean> {
    const nowMs = this.#parts.clock.monotonic();
    if (nowMs <= this.#safeUntilMs) return true;
    const renewed = await this.#parts.store.renew(this.#lease, this.#options.leaseMs);
    if (renewed) {
      this.#lease = renewed;
      this.#safeUntilMs = nowMs + TURN_MS;
    }
    this.#isOver ||= !renewed;
    return !this.#isOver;
  }

  /**
   * One request and its record. Returns where the delivery then stands; undefined: nothing was recorded, the turn is over. `isLast`, asked
   * when it has been answered: the turn knows of no other, and ends if there is none.
   */
  #deliver(
    delivery: DueDelivery,
    room: Room,
    isLast: () => boolean,
  ): Promise<'due' | 'delivered' | 'failed' | undefined> {
    const span = deliverySpan(this.#lease, delivery);
    return inSpan(span, () => this.#deliverIn(span, delivery, room, isLast));
  }

  async #deliverIn(
    span: Span,
    delivery: DueDelivery,
    room: Room,
    isLast: () => boolean,
  ): Promise<'due' | 'delivered' | 'failed' | undefined> {
    const { counts, signal, rooms } = this.#host;
    const { store, http, clock } = this.#parts;
    const { leaseMs, disableAfterMs, slowMs } = this.#options;
    const slow = setTimeout(() => rooms.linger(room), slowMs);
    const parts = { http, clock, rules: this.#options, signal };
    const verdict = await attemptOf(parts, this.#lease, delivery, span).finally(() => {
      clearTimeout(slow);
      rooms.quicken(room);
    });
    if (verdict) this.#observe(verdict, delivery);
    this.#isEnding = isLast();
    const limits = { leaseMs, disableAfterMs, isLast: this.#isEnding };
    const recorded = verdict && (await store.record(this.#lease, delivery, verdict, limits, span));
    if (this.#isEnding) this.#isDry = false;
    this.#isEnding = false;
    if (!recorded) {
      counts[verdict ? 'fenced' : 'aborted'] += 1;
      this.#isOver = true;
      return undefined;
    }
    if (verdict.outcome === 'lapsed') counts.lapsed += 1;
    else counts[verdict.status === 'due' ? 'retried' : verdict.status] += 1;
    if (recorded.disabled) counts.disabled += 1;
    this.#isReleased = recorded.released;
    this.#isOver ||= recorded.disabled || recorded.released;
    if (verdict.nextDelayMs !== undefined) this.#host.dueIn(this.#lease.merchantId, verdict.nextDelayMs);
    return verdict.status;
  }

  #observe({ outcome, attempt }: Verdict, { event }: DueDelivery): void {
    if (outcome !== 'lapsed') this.#host.durations[outcome].observe(attempt.durationMs / 1_000, event?.traceContext);
  }
}
