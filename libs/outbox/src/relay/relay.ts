import type { Span } from '@opentelemetry/api';
import type { Logger } from '#platform/logging.js';
import { type EventBatch, positionText } from '../log/position.js';
import type { RelayLease } from './relay-lease.js';
import { handOver } from './relay-spans.js';
import type { RelayStore } from './relay-store.js';

/** Where the relay hands events over to. */
export interface RelayTarget {
  /** Never changes: the durable cursor is kept under it. */
  readonly consumer: string;
  /** Where a consumer that the database does not know yet begins. */
  readonly from: 'beginning' | 'now';
  /** Whether effects move a position in consumer_positions. Otherwise dispatching is all there is. */
  readonly keepsPosition: boolean;
  /** Most events of a partition in one hand-over. */
  readonly batchSize: number;
  /** The queue that it goes to; absent: none. */
  readonly destination?: string;
  /**
   * Resolves when the batches are safe where they went; rejects, and they come again. Whatever it does may be done twice,
   * also by a process that lost its lease meanwhile. Its steps show below `within`.
   */
  dispatch(batches: readonly EventBatch[], within?: Span): Promise<void>;
}

/** Where a relay finds what comes next, and records what it has dispatched. */
export type RelayPlaces = Pick<RelayStore, 'register' | 'next' | 'move'>;

export interface RelayOptions {
  /** Wait after a round that found something, whoever hints: what is committed meanwhile goes together in the next. */
  busyMs: number;
  /** Longest wait between rounds of an idle log; a hint ends it. */
  idleMs: number;
  /** After this long, what was dispatched and not applied is dispatched again. */
  resendMs: number;
}

/**
 * Carries the log to one target: reads behind the durable cursor, dispatches, and only then moves the cursor, so that a
 * crash in between repeats and never loses. One loop a target: a target that fails holds up no other. A hint wakes all of them, and
 * what they ask for then is one statement (JoinedStore).
 */
export class Relay {
  readonly #target: RelayTarget;
  readonly #store: RelayPlaces;
  readonly #lease: RelayLease;
  readonly #logger: Logger;
  readonly #options: RelayOptions;
  readonly counts = { rounds: 0, batches: 0, events: 0, resent: 0, failures: 0, fenced: 0 };
  readonly #turns: Turns;
  #waitMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #isHinted = false;
  /** `busyMs` after the end of the last round that found something. */
  #restsUntilMs = 0;
  /** The last round failed: hints do not shorten the wait for the next. */
  #isBackingOff = false;
  #isRegistered = false;
  #isStopped = false;

  constructor(
    target: RelayTarget,
    parts: { store: RelayPlaces; lease: RelayLease; logger: Logger },
    options: RelayOptions,
  ) {
    this.#target = target;
    this.#store = parts.store;
    this.#lease = parts.lease;
    this.#logger = parts.logger;
    this.#options = options;
    this.#turns = new Turns(options.idleMs);
  }

  get consumer(): string {
    return this.#target.consumer;
  }

  start(): this {
    this.#schedule(0);
    return this;
  }

  /** Something has been committed: no need to wait as long as in an idle log. */
  hint(): void {
    this.#isHinted = true;
    if (this.#running !== undefined || this.#isBackingOff) return;
    this.#schedule(Math.max(0, this.#restsUntilMs - performance.now()));
  }

  /** Resolves when the round in hand has ended. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  /** One round. Returns how much it dispatched. */
  async round(): Promise<number> {
    const { consumer, batchSize } = this.#target;
    if (!this.#isRegistered) {
      await this.#store.register(consumer, this.#target);
      this.#isRegistered = true;
    }
    this.counts.rounds += 1;
    const { epochs } = this.#lease;
    if (epochs.size === 0) return 0;
    const { resendMs } = this.#options;
    const next = await this.#store.next(consumer, [...epochs.keys()], { batchSize, resendMs });
    const turns = this.#turns.notUnderWay(next);
    const batches = next.filter(({ merchantId }) => merchantId === undefined);
    if (batches.length + turns.length === 0) return 0;
    const handed = batches.map(({ partition, through }) => ({
      partition,
      through,
      epoch: epochs.get(partition) ?? -1n,
    }));
    const moved = await handOver(this.#target, [...batches, ...turns], async (within) => {
      this.#turns.begin(turns);
      return handed.length === 0 ? new Set() : this.#store.move(consumer, handed, within);
    });
    if (batches.length === 0) return turns.length;
    this.counts.fenced += batches.length - moved.size;
    this.counts.batches += moved.size;
    this.counts.resent += batches.filter(({ isAgain }) => isAgain).length;
    const events = batches.reduce((sum, { count }) => sum + count, 0);
    this.counts.events += events;
    return events + turns.length;
  }

  #schedule(waitMs: number): void {
    if (this.#isStopped) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#running = this.#once().finally(() => {
        this.#running = undefined;
        this.#schedule(this.#isHinted && !this.#isBackingOff ? this.#options.busyMs : this.#waitMs);
      });
    }, waitMs);
  }

  async #once(): Promise<void> {
    const { busyMs, idleMs } = this.#options;
    this.#isHinted = false;
    this.#isBackingOff = false;
    try {
      const dispatched = await this.round();
      if (dispatched > 0) this.#restsUntilMs = performance.now() + busyMs;
      this.#waitMs = dispatched > 0 ? busyMs : Math.min(idleMs, Math.max(busyMs, this.#waitMs * 2));
    } catch (error) {
      this.counts.failures += 1;
      this.#waitMs = idleMs;
      this.#isBackingOff = true;
      this.#logger.warn({ err: error, consumer: this.consumer }, 'events could not be dispatched; they come again');
    }
  }
}

/**
 * Turns of merchants that go apart and that were dispatched a moment ago. Whose position moves has its next one at once; one whose job was
 * lost, or found nobody who could go on, soon. A job that is still there is not made twice, by its id.
 */
class Turns {
  readonly #againMs: number;
  #underWay = new Map<bigint, { after: string; sinceMs: number }>();

  constructor(againMs: number) {
    this.#againMs = againMs;
  }

  /** Of all that go apart; whoever is not among them any more is forgotten. */
  notUnderWay(batches: readonly EventBatch[]): EventBatch[] {
    const before = this.#underWay;
    const sinceMs = performance.now() - this.#againMs;
    this.#underWay = new Map();
    return batches.filter(({ merchantId, after }) => {
      if (merchantId === undefined) return false;
      const turn = before.get(merchantId);
      if (turn?.after !== positionText(after) || turn.sinceMs <= sinceMs) return true;
      this.#underWay.set(merchantId, turn);
      return false;
    });
  }

  begin(turns: readonly EventBatch[]): void {
    const sinceMs = performance.now();
    for (const { merchantId, after } of turns) {
      if (merchantId !== undefined) this.#underWay.set(merchantId, { after: positionText(after), sinceMs });
    }
  }
}
