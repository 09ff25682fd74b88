import { randomUUID } from 'node:crypto';
import { Deadline } from '#platform/deadline.js';
import type { Database, TransactionClient } from '#platform/postgres.js';
import { PARTITIONS } from '../log/position.js';

/** An epoch that a crash of PostgreSQL forgot would be given out twice. */
const ON_DISK = `SELECT set_config('synchronous_commit', 'on', true)`;
const JOIN = `
INSERT INTO relay_members (holder, expires_at) VALUES ($1, now() + $2::int * interval '1 millisecond')
ON CONFLICT (holder) DO UPDATE SET expires_at = excluded.expires_at`;
/** Each of two members that have run out holds its own row here, and may want to delete the other's: a row that is held is passed over. */
const FORGET = `
DELETE FROM relay_members m USING (SELECT holder FROM relay_members WHERE expires_at < now() FOR UPDATE SKIP LOCKED) gone
 WHERE m.holder = gone.holder`;
const MEMBERS = 'SELECT count(*)::int AS members FROM relay_members WHERE expires_at >= now()';

/**
 * What is still ours: a lease that ran out and that nobody took goes on, with the same epoch. An UPDATE alone locks rows in the
 * order in which it finds them; whoever moves cursors shares the same rows in the order of the partitions, and each would
 * wait for the other. So whatever locks several rows of the relay does so in that order.
 */
const RENEW = `
UPDATE relay_partitions p SET expires_at = now() + $2::int * interval '1 millisecond'
  FROM (SELECT partition FROM relay_partitions WHERE holder = $1 ORDER BY partition FOR UPDATE) held
 WHERE p.partition = held.partition
RETURNING p.partition, p.epoch`;

/** $3 how many more. Whoever is claiming the same row at the same moment is passed over. */
const CLAIM = `
UPDATE relay_partitions p SET holder = $1, epoch = epoch + 1, expires_at = now() + $2::int * interval '1 millisecond'
  FROM (SELECT partition FROM relay_partitions WHERE expires_at < now() ORDER BY random() LIMIT $3 FOR UPDATE SKIP LOCKED) free
 WHERE p.partition = free.partition
RETURNING p.partition, p.epoch`;

const RELEASE = `
UPDATE relay_partitions p SET holder = NULL, expires_at = to_timestamp(0)
  FROM (SELECT partition FROM relay_partitions WHERE holder = $1 AND partition = ANY ($2::smallint[]) ORDER BY partition FOR UPDATE) held
 WHERE p.partition = held.partition`;

interface Held {
  partition: number;
  epoch: bigint;
}

/**
 * This process' share of the log's partitions. A lease alone stops nobody who sleeps past it: the epoch that comes with it
 * is compared, under a lock of the partition's row, by the statement that moves a cursor.
 */
export class RelayLease {
  readonly #database: Database;
  readonly #leaseMs: number;
  readonly #holder = randomUUID();
  #epochs: ReadonlyMap<number, bigint> = new Map();

  constructor(database: Database, leaseMs: number) {
    this.#database = database;
    this.#leaseMs = leaseMs;
  }

  /** Partition → epoch, as of the last renewal. */
  get epochs(): ReadonlyMap<number, bigint> {
    return this.#epochs;
  }

  /** Renews what is held, gives away what is more than a fair share, and takes what is free. At least thrice a lease. */
  async renew(): Promise<void> {
    const values = [this.#holder, this.#leaseMs];
    this.#epochs = await this.#transaction(async (client) => {
      await client.query({ text: ON_DISK });
      await client.query({ text: JOIN, values });
      await client.query({ text: FORGET });
      const [{ members }] = (await client.query<{ members: number }>({ text: MEMBERS })).rows as [{ members: number }];
      const share = Math.ceil(PARTITIONS / Math.max(members, 1));
      const held = (await client.query<Held & Record<string, unknown>>({ text: RENEW, values })).rows;
      const surplus = held.splice(share);
      if (surplus.length > 0) await client.query(this.#release(surplus.map(({ partition }) => partition)));
      if (held.length < share) {
        const claimed = await client.query<Held & Record<string, unknown>>({
          text: CLAIM,
          values: [...values, share - held.length],
        });
        held.push(...claimed.rows);
      }
      return new Map(held.map(({ partition, epoch }) => [partition, epoch]));
    });
  }

  /** Lets others go on at once. */
  async release(): Promise<void> {
    const partitions = [...this.#epochs.keys()];
    this.#epochs = new Map();
    await this.#transaction(async (client) => {
      await client.query(this.#release(partitions));
      await client.query({ text: 'DELETE FROM relay_members WHERE holder = $1', values: [this.#holder] });
    });
  }

  #release(partitions: readonly number[]) {
    return { text: RELEASE, values: [this.#holder, partitions] };
  }

  #transaction<T>(work: (client: TransactionClient) => Promise<T>): Promise<T> {
    return this.#database.transaction('relay', Deadline.after(this.#leaseMs), work);
  }
}
