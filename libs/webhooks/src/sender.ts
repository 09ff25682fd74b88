import { type Clock, systemClock } from '#kernel/clock.js';
import { merchantPages } from '#ledger/merchant-pages.js';
import { positionText } from '#outbox/event-log.js';
import { Deadline } from '#platform/deadline.js';
import type { Logger } from '#platform/logging.js';
import type { Database } from '#platform/postgres.js';
import { type DeliveryStore, type DueDelivery, type EndpointLease, type Verdict } from './delivery-store.js';
import { type HttpAnswer, type PublicHttp, RequestAborted, RequestFailed } from './public-http.js';
import { nextDelayMs, parseRetryAfter, type RetryRules } from './retry-schedule.js';
import { signatureOf } from './signature.js';

/** How much longer than one request a lease lasts: its record, and a busy process, must fit in. */
const LEASE_MARGIN_MS = 10_000;
/**
 * No request begins later than this after the claim. Others get their turn, and a process that slept finds its own over:
 * shorter than what every lease has left, so that whoever still sends still holds it.
 */
const TURN_MS = 5_000;
/** How often a round asks for more of one page of merchants, before it goes on to the others. */
const CLAIMS_PER_PAGE = 10;
/** Deliveries read at once. */
const LINE_LENGTH = 50;
/** How long requests in hand may go on when the process ends; then they are dropped and sent again by another one. */
const STOP_GRACE_MS = 3_000;
const PAGE_DEADLINE_MS = 5_000;
const GONE = 410;

export interface SenderOptions extends RetryRules {
  /** Endpoints that are sent to at once. */
  concurrency: number;
  /** The deadline of one request: PublicHttp's. */
  timeoutMs: number;
  disableAfterMs: number;
}

/**
 * Sends what is due, at least once and in order: an endpoint is taken by lease, and its deliveries go one after another.
 * All state is PostgreSQL's. Whoever dies or sleeps between a request and its record leaves the delivery due, and it goes
 * out again under the same webhook-id; whoever wakes up behind its lease can record nothing, because its epoch is over.
 */
export class WebhookSender {
  readonly counts = { delivered: 0, retried: 0, failed: 0, lapsed: 0, fenced: 0, aborted: 0, disabled: 0, errors: 0 };
  readonly #parts: { database: Database; store: DeliveryStore; http: PublicHttp; logger: Logger };
  readonly #options: SenderOptions;
  readonly #leaseMs: number;
  readonly #clock: Clock;
  readonly #turns = new Set<Promise<void>>();
  readonly #abort = new AbortController();
  #stopped = false;

  constructor(
    parts: { database: Database; store: DeliveryStore; http: PublicHttp; logger: Logger },
    options: SenderOptions,
    clock: Clock = systemClock,
  ) {
    this.#parts = parts;
    this.#options = options;
    this.#leaseMs = options.timeoutMs + LEASE_MARGIN_MS;
    this.#clock = clock;
  }

  /** Endpoints that are being sent to. */
  get busy(): number {
    return this.#turns.size;
  }

  /**
   * Goes through all merchants once and begins a turn for every endpoint that has something due, as far as there is room.
   * Answers how many; the turns go on by themselves.
   */
  async round(): Promise<number> {
    let begun = 0;
    const pageDeadline = (): Deadline => Deadline.after(PAGE_DEADLINE_MS);
    for await (const merchantIds of merchantPages(this.#parts.database, pageDeadline)) {
      for (let claims = 0; claims < CLAIMS_PER_PAGE; claims += 1) {
        while (this.#turns.size >= this.#options.concurrency) await Promise.race(this.#turns);
        if (this.#stopped) return begun;
        const limit = this.#options.concurrency - this.#turns.size;
        const fromMs = this.#clock.monotonic();
        const leases = await this.#parts.store.claim(merchantIds, { leaseMs: this.#leaseMs, limit });
        for (const lease of leases) this.#begin(lease, fromMs + TURN_MS);
        begun += leases.length;
        if (leases.length < limit) break;
      }
    }
    return begun;
  }

  /** Resolves when no turn is in hand any more. */
  async idle(): Promise<void> {
    while (this.#turns.size > 0) await Promise.race(this.#turns);
  }

  /** Begins nothing more, lets requests in hand end for a moment, then drops them. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const timer = setTimeout(() => this.#abort.abort(), STOP_GRACE_MS);
    await this.idle();
    clearTimeout(timer);
  }

  #begin(lease: EndpointLease, turnEndsMs: number): void {
    const turn = this.#turn(lease, turnEndsMs)
      .catch((error) => {
        this.counts.errors += 1;
        // The lease runs out by itself, and what was due is due.
        this.#parts.logger.warn(
          { err: error, endpoint_id: String(lease.endpointId) },
          'a turn of webhooks ended early',
        );
      })
      .finally(() => this.#turns.delete(turn));
    this.#turns.add(turn);
  }

  async #turn(lease: EndpointLease, turnEndsMs: number): Promise<void> {
    const { store } = this.#parts;
    for (;;) {
      const line = await store.line(lease, LINE_LENGTH);
      for (const delivery of line) {
        if (this.#stopped || !delivery.isDue || this.#clock.monotonic() > turnEndsMs) return store.release(lease);
        if (!(await this.#deliver(lease, delivery))) return;
      }
      if (line.length === 0) return store.release(lease);
    }
  }

  /** Answers whether the turn goes on: the lease is ours, and the next in the line may be sent. */
  async #deliver(lease: EndpointLease, delivery: DueDelivery): Promise<boolean> {
    const { store } = this.#parts;
    const verdict = await this.#try(lease, delivery);
    if (!verdict) {
      this.counts.aborted += 1;
      await store.release(lease);
      return false;
    }
    const { disableAfterMs } = this.#options;
    const recorded = await store.record(lease, delivery, verdict, { leaseMs: this.#leaseMs, disableAfterMs });
    if (!recorded) {
      this.counts.fenced += 1;
      return false;
    }
    if (verdict.outcome === 'lapsed') this.counts.lapsed += 1;
    else this.counts[verdict.status === 'due' ? 'retried' : verdict.status] += 1;
    if (recorded.disabled) {
      this.counts.disabled += 1;
      return false;
    }
    // The head of the line backs off, and what is behind it must not pass it.
    if (verdict.status === 'due') {
      await store.release(lease);
      return false;
    }
    return true;
  }

  /** One request. Undefined when it was dropped because the process ends. */
  async #try(lease: EndpointLease, delivery: DueDelivery): Promise<Verdict | undefined> {
    const atMs = this.#clock.now();
    const { event } = delivery;
    if (!event) {
      const attempt = { atMs, error: 'event_no_longer_kept', durationMs: 0 };
      return {
        outcome: 'lapsed',
        status: 'failed',
        tries: delivery.tries,
        nextDelayMs: undefined,
        gone: false,
        attempt,
      };
    }
    const startMs = this.#clock.monotonic();
    const message = messageFor(lease, delivery, event, atMs);
    let answer: HttpAnswer | undefined;
    let error: string | undefined;
    try {
      answer = await this.#parts.http.post(lease.url, message, this.#abort.signal);
    } catch (cause) {
      if (cause instanceof RequestAborted) return undefined;
      if (!(cause instanceof RequestFailed)) throw cause;
      error = cause.message;
    }
    const attempt = {
      atMs,
      durationMs: Math.round(this.#clock.monotonic() - startMs),
      ...(error !== undefined && { error }),
      ...(answer && { statusCode: answer.statusCode, response: answer.body }),
    };
    if (answer && answer.statusCode >= 200 && answer.statusCode < 300)
      return { outcome: 'delivered', status: 'delivered', tries: 0, nextDelayMs: undefined, gone: false, attempt };
    const tries = delivery.tries + 1;
    const retryAfterMs = parseRetryAfter(answer?.retryAfter, this.#clock.now());
    const delayMs = delivery.redelivery ? undefined : nextDelayMs(this.#options, tries, retryAfterMs, Math.random());
    return {
      outcome: 'failed',
      status: delayMs === undefined ? 'failed' : 'due',
      tries,
      nextDelayMs: delayMs,
      gone: answer?.statusCode === GONE,
      attempt,
    };
  }
}

/** The request of Standard Webhooks. `data` is the event's own, as it was written, and `version` its shape. */
function messageFor(
  { keys }: EndpointLease,
  { xid, seq, type }: DueDelivery,
  event: NonNullable<DueDelivery['event']>,
  nowMs: number,
): { headers: Record<string, string>; body: string } {
  const id = positionText({ xid, seq });
  const timestampS = Math.floor(nowMs / 1_000);
  const occurredAt = new Date(event.occurredAtMs).toISOString();
  const body = `{"id":"${id}","type":${JSON.stringify(type)},"version":${event.version},"timestamp":"${occurredAt}","data":${event.data}}`;
  return {
    headers: {
      'content-type': 'application/json',
      'user-agent': 'Counterfoil-Webhooks/1',
      'webhook-id': id,
      'webhook-timestamp': String(timestampS),
      'webhook-signature': signatureOf(keys, id, timestampS, body),
      ...(event.traceContext !== undefined && { traceparent: event.traceContext }),
    },
    body,
  };
}
