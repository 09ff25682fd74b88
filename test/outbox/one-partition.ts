import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { BatchApplier } from '#outbox/consumers/batch-applier.js';
import type { Consumer } from '#outbox/consumers/consumer.js';
import type { Reactions } from '#outbox/consumers/reactions.js';
import { decidedLetters, freeStreams } from '#outbox/dead-letters/dead-letter-store.js';
import { Redriver } from '#outbox/dead-letters/redriver.js';
import type { EventBatch } from '#outbox/log/position.js';
import { RelayStore } from '#outbox/relay/relay-store.js';
import { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import type { TestLedger } from '../support/ledger.js';
import { until } from '../support/until.js';

/** Small, so that a few events make a flood. */
export const SMALL = {
  pageEvents: 6,
  maxTries: 4,
  timeoutMs: 20_000,
  apart: { merchantEvents: 2, turnEvents: 8 },
} as const;
const MOST_ROUNDS = 300;

/** Ids of merchants of one partition; nobody needs to know them, for an event is appended by the database's owner. */
export async function merchantsOf(admin: pg.Pool, partition: number, count: number): Promise<bigint[]> {
  const { rows } = await admin.query<{ id: string }>(
    'SELECT id FROM generate_series(1, 100000) AS id WHERE partition_of(id) = $1 LIMIT $2',
    [partition, count],
  );
  return rows.map(({ id }) => BigInt(id));
}

/** Answers once whoever reads the log can see them: an open transaction of any database on this server may hold them back for a while. */
export async function append(admin: pg.Pool, merchant: bigint, count: number, externalRef?: string): Promise<void> {
  const data = JSON.stringify({ account_id: '1', external_ref: externalRef });
  await admin.query(
    `INSERT INTO events (merchant_id, type, version, occurred_at, data) SELECT $1, 'account.closed', 1, now(), $3 FROM generate_series(1, $2)`,
    [merchant, count, data],
  );
  const readable = 'SELECT bool_and(xid < log_horizon()) AS is FROM events WHERE merchant_id = $1';
  await until('they can be read', async () => (await admin.query<{ is: boolean }>(readable, [merchant])).rows[0]?.is);
}

/** One worker's part in a partition, step by step in this process: turns are taken as they are given, in any order and more than once. */
export class PartitionWorker {
  readonly #applier: BatchApplier;
  readonly #redriver: Redriver;
  readonly #gated: Gated;

  constructor(
    private readonly ledger: TestLedger,
    private readonly consumer: Consumer | Reactions,
    private readonly partition: number,
  ) {
    this.#gated = new Gated(ledger.database);
    const database = this.#gated as unknown as Database;
    this.#applier = new BatchApplier(database, consumer, randomUUID(), SMALL);
    this.#redriver = new Redriver({ database, consumer, applier: this.#applier }, SMALL);
  }

  register(): Promise<void> {
    return new RelayStore(this.ledger.database).register(this.consumer.name, {
      from: 'beginning',
      keepsPosition: true,
    });
  }

  /** What the relay would hand over now. */
  next(): Promise<EventBatch[]> {
    const limits = { batchSize: SMALL.apart.turnEvents, resendMs: 60_000 };
    return new RelayStore(this.ledger.database).next(this.consumer.name, [this.partition], limits);
  }

  /** One turn. What fails is tried again by whoever comes next. */
  async run({ merchantId, partition, through }: EventBatch): Promise<void> {
    const letterId = this.ledger.ids.next();
    const ran =
      merchantId === undefined
        ? this.#applier.run({ partition, through, letterId }, () => undefined)
        : this.#applier.runApart({ partition, merchantId, letterId }, () => undefined);
    await ran.catch(() => undefined);
  }

  /** Carries out what is decided, and lets streams go on. Answers of how many. */
  async redrive(): Promise<number> {
    const deadline = Deadline.after(20_000);
    const [letters, streams] = await this.ledger.database.transaction('relay', deadline, async (client) => [
      await decidedLetters(client, this.consumer.name, 50),
      await freeStreams(client, this.consumer.name, 50),
    ]);
    for (const letter of letters) await this.#redriver.redrive(letter, () => undefined);
    for (const stream of streams) {
      const catchUp = { ...stream, limit: SMALL.pageEvents, letterId: this.ledger.ids.next() };
      await this.#redriver.catchUp(catchUp, () => undefined);
    }
    return letters.length + streams.length;
  }

  /** Begins the turn, and sleeps before its transaction of this number. Answers what wakes it up and waits for its end. */
  async sleepIn(batch: EventBatch, transaction: number): Promise<() => Promise<void>> {
    const slept = this.#gated.closeAt(transaction);
    const ended = this.run(batch);
    await Promise.race([slept.reached, ended]);
    return async () => {
      slept.open();
      await ended;
    };
  }

  /** Takes turns until there are none. */
  async drain(): Promise<void> {
    for (let round = 0; round < MOST_ROUNDS; round += 1) {
      const redriven = await this.redrive();
      const turns = await this.next();
      if (redriven + turns.length === 0) return;
      for (const turn of turns) await this.run(turn);
    }
    throw new Error('there was always one more turn');
  }
}

/** A database whose transactions wait at a gate from the one on that is told. */
class Gated {
  #left = Number.POSITIVE_INFINITY;
  #reached: () => void = () => undefined;
  #opened: Promise<void> = Promise.resolve();

  constructor(private readonly database: Database) {}

  closeAt(transaction: number): { reached: Promise<void>; open: () => void } {
    const [reached, opened] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    this.#left = transaction;
    this.#reached = reached.resolve;
    this.#opened = opened.promise;
    return { reached: reached.promise, open: opened.resolve };
  }

  transaction: Database['transaction'] = async (...parameters) => {
    this.#left -= 1;
    if (this.#left === 0) {
      this.#left = Number.POSITIVE_INFINITY;
      this.#reached();
      await this.#opened;
    }
    return this.database.transaction(...parameters);
  };
}
