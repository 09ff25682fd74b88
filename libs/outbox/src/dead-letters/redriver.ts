import type { Span } from '@opentelemetry/api';
import { Deadline } from '#platform/deadline.js';
import type { Database, TransactionClient } from '#platform/postgres.js';
import { ATTRIBUTE } from '#platform/span-names.js';
import { goOnApart } from '../consumers/apart.js';
import { type ApplierOptions, type BatchApplier, describe } from '../consumers/batch-applier.js';
import type { Consumer, LoggedEvent } from '../consumers/consumer.js';
import { HandlerCall } from '../consumers/handler-call.js';
import { PageSpan } from '../consumers/page-span.js';
import { ClaimLost } from '../consumers/position-store.js';
import type { Reactions } from '../consumers/reactions.js';
import { readEventAt, readRange } from '../log/event-log.js';
import type { Position } from '../log/position.js';
import {
  type DecidedLetter,
  type FreeStream,
  lockDecided,
  moveParked,
  parkEvent,
  parkedPosition,
  settleLetter,
} from './dead-letter-store.js';
import type { StreamHold } from './stream-hold.js';

export interface CatchUp extends FreeStream {
  /** Events of one transaction; 1 to find the one that fails. */
  limit: number;
  /** Id for the dead letter that may come out of it. */
  letterId: bigint;
}

/**
 * Carries out what an operator decided about a dead letter, and lets streams that waited behind one catch up with their
 * partition. That, or a merchant's own position where it goes apart, stands still meanwhile, by the same claim that batches take. Each step is a transaction that
 * leaves in PostgreSQL what is to be done next, so that another process can go on at any point.
 */
export class Redriver {
  readonly #database: Database;
  readonly #consumer: Consumer | Reactions;
  readonly #applier: BatchApplier;
  readonly #timeoutMs: number;
  readonly #goesApart: boolean;

  constructor(
    parts: { database: Database; consumer: Consumer | Reactions; applier: BatchApplier },
    options: Pick<ApplierOptions, 'timeoutMs' | 'apart'>,
  ) {
    this.#database = parts.database;
    this.#consumer = parts.consumer;
    this.#applier = parts.applier;
    this.#timeoutMs = options.timeoutMs;
    this.#goesApart = options.apart !== undefined;
  }

  /**
   * Applies the dead letter's event, or passes over it. A failure parks it again; one that says nothing of it leaves it due.
   * Returns false when another process has the partition.
   */
  redrive(decided: DecidedLetter, onProgress: () => void): Promise<boolean> {
    const { merchantId, id, partition, decision, traceContext } = decided;
    onProgress();
    const call = new HandlerCall();
    return this.#holding({ merchantId, partition }, async (stands) => {
      const span = new PageSpan(decision, this.#consumer.name, traceContext);
      try {
        await span.within(() => this.#carryOut(decided, stands, call, span.span));
      } catch (error) {
        if (error instanceof ClaimLost || call.isPassing(error)) throw error;
        onProgress();
        await this.#within(merchantId, (client) =>
          settleLetter(client, merchantId, id, { status: 'parked', error: describe(error) }),
        );
      }
    });
  }

  /**
   * A page, and whoever has more goes on apart; or, where nobody does, page by page. Then the stream is where its partition is, or an
   * event of it has failed and is parked in its turn. Returns false when another process has the partition.
   */
  catchUp({ merchantId, partition, limit: first, letterId }: CatchUp, onProgress: () => void): Promise<boolean> {
    return this.#holding({ merchantId, partition }, async (stands) => {
      let limit = first;
      for (let hasCaughtUp = false; !hasCaughtUp; ) {
        const call = new HandlerCall();
        onProgress();
        try {
          hasCaughtUp = await this.#page(merchantId, stands, call, limit);
        } catch (error) {
          if (error instanceof ClaimLost || call.isPassing(error)) throw error;
          onProgress();
          if (limit === 1) {
            const letter = { id: letterId, error: describe(error) };
            await this.#within(merchantId, (client) =>
              parkNext(client, stands, this.#consumer, { merchantId, ...letter }),
            );
            return;
          }
          // Somewhere in this page: one by one from here.
          limit = 1;
        }
      }
    });
  }

  async #carryOut(decided: DecidedLetter, stands: StreamHold, call: HandlerCall, span?: Span): Promise<void> {
    const { merchantId, id, at } = decided;
    const consumer = this.#consumer;
    span?.setAttribute(ATTRIBUTE.merchantId, String(merchantId));
    await this.#reactToLetter(decided, stands, call, span);
    const settle = async (client: TransactionClient) => {
      await stands.hold(client);
      const letter = await lockDecided(client, merchantId, id);
      if (!letter) return;
      if (letter.decision === 'redrive' && 'apply' in consumer) {
        await call.apply(consumer, client, [await eventAt(client, merchantId, at)]);
      }
      const status = letter.decision === 'redrive' ? 'redriven' : 'discarded';
      await settleLetter(client, merchantId, id, { status });
      if (await parkedPosition(client, merchantId, consumer.name)) {
        await moveParked(client, merchantId, consumer.name, at);
      }
    };
    await this.#within(merchantId, settle, span);
  }

  /** A reactor's part, before the letter is settled. */
  async #reactToLetter(
    { merchantId, id, at }: Pick<DecidedLetter, 'merchantId' | 'id' | 'at'>,
    stands: StreamHold,
    call: HandlerCall,
    span: Span | undefined,
  ): Promise<void> {
    if (!('react' in this.#consumer)) return;
    const read = async (client: TransactionClient) => {
      await stands.hold(client);
      const letter = await lockDecided(client, merchantId, id);
      return letter?.decision === 'redrive' ? eventAt(client, merchantId, at) : undefined;
    };
    const event = await this.#within(merchantId, read, span);
    if (event) await this.#consumer.react([event], call, Deadline.after(this.#timeoutMs), span);
  }

  /** Returns whether the stream has caught up, and waits no longer. */
  #page(merchantId: bigint, stands: StreamHold, call: HandlerCall, limit: number): Promise<boolean> {
    const consumer = this.#consumer;
    const span = new PageSpan('catch up', consumer.name);
    if ('react' in consumer)
      return span.within(() => this.#reactToPage(consumer, merchantId, stands, call, limit, span));
    const apply = async (client: TransactionClient) => {
      const waiting = await this.#waiting(client, merchantId, stands, limit);
      if (!waiting) return true;
      const { events, hasAll } = waiting;
      span.about(events);
      const traced = span.clientOf(client);
      if (events.length > 0) await call.apply(consumer, traced, events);
      await moveParked(traced, merchantId, consumer.name, hasAll ? undefined : events.at(-1));
      return hasAll || this.#goOnApart(traced, merchantId, limit);
    };
    return span.within(() => this.#within(merchantId, apply));
  }

  async #reactToPage(
    reactions: Reactions,
    merchantId: bigint,
    stands: StreamHold,
    call: HandlerCall,
    limit: number,
    span: PageSpan,
  ): Promise<boolean> {
    const waiting = await this.#within(merchantId, (client) => this.#waiting(client, merchantId, stands, limit));
    if (!waiting) return true;
    const { events } = waiting;
    span.about(events);
    const deadline = Deadline.after(this.#timeoutMs);
    const done = events.length > 0 ? await reactions.react(events, call, deadline, span.span) : 0;
    const hasCaughtUp = waiting.hasAll && done === events.length;
    const move = async (client: TransactionClient) => {
      // The claim may have run out meanwhile: then others may have gone on, and the partition, too.
      const level = await stands.hold(client);
      const after = await parkedPosition(client, merchantId, reactions.name);
      if (!after || !isSame(after, waiting.after) || !isSame(level, waiting.through)) {
        throw new ClaimLost('another process has gone on with this stream');
      }
      await moveParked(client, merchantId, reactions.name, hasCaughtUp ? undefined : events[done - 1]);
      return hasCaughtUp || this.#goOnApart(client, merchantId, limit);
    };
    return this.#within(merchantId, move, span.span);
  }

  /** What has more than a page to catch up with does so apart, in turn with its partition. Returns whether it waits no longer. */
  async #goOnApart(client: TransactionClient, merchantId: bigint, limit: number): Promise<boolean> {
    if (!this.#goesApart || limit === 1) return false;
    await goOnApart(client, this.#consumer.name, merchantId);
    return true;
  }

  /** What a stream waits for next, up to where its partition, or itself apart, stands; undefined: it does not wait. */
  async #waiting(client: TransactionClient, merchantId: bigint, stands: StreamHold, limit: number) {
    const through = await stands.hold(client);
    const after = await parkedPosition(client, merchantId, this.#consumer.name);
    if (!after) return undefined;
    const events = await readRange(client, { merchantId }, { after, through, limit });
    return { after, through, events, hasAll: events.length < limit };
  }

  /** Whoever has it at present goes first: what is due here is still due then. */
  async #holding(stream: FreeStream, work: (stands: StreamHold) => Promise<void>): Promise<boolean> {
    const { merchantId } = stream;
    const stands = this.#applier.streamHold(stream);
    try {
      await work(stands);
      return true;
    } catch (error) {
      if (error instanceof ClaimLost) return false;
      throw error;
    } finally {
      await this.#within(merchantId, (client) => stands.release(client)).catch(() => undefined);
    }
  }

  /** Its statements show below `span`. */
  #within<T>(merchantId: bigint, work: (client: TransactionClient) => Promise<T>, span?: Span): Promise<T> {
    const deadline = Deadline.after(this.#timeoutMs).under(span);
    return this.#database.transaction({ merchantIds: [merchantId] }, deadline, work);
  }
}

async function eventAt(client: TransactionClient, merchantId: bigint, at: Position): Promise<LoggedEvent> {
  const event = await readEventAt(client, merchantId, at);
  if (!event) throw new Error('the event is no longer in the log');
  return event;
}

function isSame(one: Position, other: Position): boolean {
  return one.xid === other.xid && one.seq === other.seq;
}

/** Makes a dead letter of the event that a waiting stream would go on with. In the merchant's scope. */
export async function parkNext(
  client: TransactionClient,
  stands: StreamHold,
  consumer: Pick<Consumer, 'name' | 'failureScope'>,
  letter: { merchantId: bigint; id: bigint; error: string },
): Promise<void> {
  const { merchantId } = letter;
  const through = await stands.hold(client);
  const before = await parkedPosition(client, merchantId, consumer.name);
  if (!before) return;
  const [event] = await readRange(client, { merchantId }, { after: before, through, limit: 1 });
  if (event) await parkEvent(client, consumer, event, { id: letter.id, tries: 1, error: letter.error, before });
}
