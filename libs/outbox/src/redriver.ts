import { Deadline } from '#platform/deadline.js';
import type { Database, TransactionClient } from '#platform/postgres.js';
import type { BatchApplier } from './batch-applier.js';
import { describe } from './batch-applier.js';
import type { Consumer } from './consumer.js';
import {
  type DecidedLetter,
  lockDecided,
  moveParked,
  parkEvent,
  parkedPosition,
  settleLetter,
} from './dead-letter-store.js';
import { readLog } from './log-store.js';
import type { Position } from './position.js';
import { ClaimLost, type ConsumerPosition } from './position-store.js';

/** What was decided about a dead letter, with the id for a further one that may come out of it. */
export interface Redrive extends DecidedLetter {
  furtherId: bigint;
}

/**
 * Carries out what an operator decided: applies the event or passes over it, then lets its merchant's stream catch up with
 * the partition. The partition stands still meanwhile, by the same claim that batches take.
 */
export class Redriver {
  readonly #database: Database;
  readonly #consumer: Consumer;
  readonly #applier: BatchApplier;
  readonly #timeoutMs: number;
  readonly #pageEvents: number;

  constructor(
    parts: { database: Database; consumer: Consumer; applier: BatchApplier },
    options: { timeoutMs: number; pageEvents: number },
  ) {
    this.#database = parts.database;
    this.#consumer = parts.consumer;
    this.#applier = parts.applier;
    this.#timeoutMs = options.timeoutMs;
    this.#pageEvents = options.pageEvents;
  }

  /** Answers whether it was done here; false: another process is at work there. */
  async carryOut(redrive: Redrive, onProgress: () => void): Promise<boolean> {
    const position = this.#applier.position(redrive.partition);
    try {
      onProgress();
      if (!(await this.#settle(redrive, position))) return true;
      for (let limit = this.#pageEvents; limit > 0; ) {
        onProgress();
        limit = await this.#catchUp(redrive, position, limit);
      }
      return true;
    } catch (error) {
      if (error instanceof ClaimLost) return false;
      throw error;
    } finally {
      await this.#within(redrive, (client) => position.release(client)).catch(() => undefined);
    }
  }

  /** The dead letter's own event. Answers whether its stream may go on. */
  async #settle(redrive: Redrive, position: ConsumerPosition): Promise<boolean> {
    const { merchantId, id, at } = redrive;
    try {
      return await this.#within(redrive, async (client) => {
        await position.hold(client);
        const letter = await lockDecided(client, merchantId, id);
        if (!letter) return false;
        if (letter.decision === 'redrive') {
          const before = { xid: at.xid, seq: at.seq - 1n };
          const events = await readLog(client, { merchantId }, { after: before, upTo: at, limit: 1 });
          if (events.length === 0) throw new Error('the event is no longer in the log');
          await this.#consumer.apply(client, events);
        }
        await settleLetter(client, merchantId, id, {
          status: letter.decision === 'redrive' ? 'redriven' : 'discarded',
        });
        if (await parkedPosition(client, merchantId, this.#consumer.name)) {
          await moveParked(client, merchantId, this.#consumer.name, at);
        }
        return true;
      });
    } catch (error) {
      if (error instanceof ClaimLost) throw error;
      await this.#within(redrive, (client) =>
        settleLetter(client, merchantId, id, { status: 'parked', error: describe(error) }),
      );
      return false;
    }
  }

  /** One page of the waiting stream. Answers how many events the next page may have; 0: the stream has caught up, or waits again. */
  async #catchUp(redrive: Redrive, position: ConsumerPosition, limit: number): Promise<number> {
    const { merchantId, furtherId } = redrive;
    const name = this.#consumer.name;
    let next: Position | undefined;
    try {
      return await this.#within(redrive, async (client) => {
        const upTo = await position.hold(client);
        next = await parkedPosition(client, merchantId, name);
        if (!next) return 0;
        const events = await readLog(client, { merchantId }, { after: next, upTo, limit });
        if (events.length > 0) await this.#consumer.apply(client, events);
        const hasCaughtUp = events.length < limit;
        await moveParked(client, merchantId, name, hasCaughtUp ? undefined : events.at(-1));
        return hasCaughtUp ? 0 : limit;
      });
    } catch (error) {
      if (error instanceof ClaimLost || !next) throw error;
      // Somewhere in this page: one by one from here.
      if (limit > 1) return 1;
      const before = next;
      await this.#within(redrive, async (client) => {
        const upTo = await position.hold(client);
        const [event] = await readLog(client, { merchantId }, { after: before, upTo, limit: 1 });
        if (event)
          await parkEvent(client, this.#consumer, event, { id: furtherId, tries: 1, error: describe(error), before });
      });
      return 0;
    }
  }

  #within<T>({ merchantId }: Redrive, work: (client: TransactionClient) => Promise<T>): Promise<T> {
    const deadline = Deadline.after(this.#timeoutMs);
    return this.#database.transaction({ merchantIds: [merchantId] }, deadline, work);
  }
}

/** For whoever watches: the try is noted, and the letter parked again. */
export async function noteFailedRedrive(
  database: Database,
  { merchantId, id }: DecidedLetter,
  error: string,
  timeoutMs: number,
): Promise<void> {
  const deadline = Deadline.after(timeoutMs);
  await database.transaction({ merchantIds: [merchantId] }, deadline, async (client) => {
    await settleLetter(client, merchantId, id, { status: 'parked', error });
  });
}
