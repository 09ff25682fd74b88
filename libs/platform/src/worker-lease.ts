import { randomUUID } from 'node:crypto';
import { type Clock, systemClock } from '#kernel/clock.js';
import type { WorkerLease } from '#kernel/snowflake.js';
import { Deadline } from './deadline.js';
import type { Database } from './postgres.js';

/** Long enough to outlive a restart of PostgreSQL, short enough to free the ids of crashed processes. */
const LEASE_MS = 30_000;
const RENEW_EVERY_MS = 5_000;
const ATTEMPT_MS = 4_000;

/**
 * A worker id is free when its lease has run out *and* the last millisecond that its holder was allowed to put into an id
 * lies in the past by both clocks. Two holders of one worker id therefore issue disjoint milliseconds, whatever their
 * clocks say and however long one of them sleeps.
 */
const CLAIM = `
WITH candidate AS (
  SELECT n::smallint AS worker_id FROM generate_series(0, 1023) n
    LEFT JOIN worker_leases l ON l.worker_id = n
   WHERE l.worker_id IS NULL OR (l.expires_at < now() AND l.issuable_until < least(now(), $2::timestamptz))
   ORDER BY random() LIMIT 1)
INSERT INTO worker_leases (worker_id, holder, expires_at, issuable_until)
SELECT worker_id, $1::uuid, now() + $3::int * interval '1 millisecond', $2::timestamptz + $3::int * interval '1 millisecond'
  FROM candidate
ON CONFLICT (worker_id) DO UPDATE
   SET holder = excluded.holder, expires_at = excluded.expires_at, issuable_until = excluded.issuable_until
 WHERE worker_leases.expires_at < now() AND worker_leases.issuable_until < least(now(), $2::timestamptz)
RETURNING worker_id`;

const RENEW = `
UPDATE worker_leases
   SET expires_at = now() + $3::int * interval '1 millisecond',
       issuable_until = greatest(issuable_until, $2::timestamptz + $3::int * interval '1 millisecond')
 WHERE worker_id = $4 AND holder = $1::uuid
RETURNING issuable_until`;

const RELEASE = 'UPDATE worker_leases SET expires_at = now() WHERE worker_id = $2 AND holder = $1::uuid';

/** Claims a worker id and keeps it; a lost lease is replaced by a new one, and meanwhile no id can be issued. */
export class PostgresWorkerLease implements WorkerLease {
  readonly #database: Database;
  readonly #clock: Clock;
  #holder = randomUUID();
  #workerId: number | undefined;
  #issuableFromMs = 0;
  #issuableUntilMs = 0;
  #timer: NodeJS.Timeout | undefined;

  private constructor(database: Database, clock: Clock) {
    this.#database = database;
    this.#clock = clock;
  }

  /** Rejects when PostgreSQL cannot be reached or all 1,024 worker ids are in use. */
  static async acquire(database: Database, clock: Clock = systemClock): Promise<PostgresWorkerLease> {
    const lease = new PostgresWorkerLease(database, clock);
    await lease.#claim();
    lease.#timer = setInterval(() => void lease.renew().catch(() => undefined), RENEW_EVERY_MS);
    lease.#timer.unref();
    return lease;
  }

  get workerId(): number {
    if (this.#workerId === undefined) throw new Error('no worker id is leased');
    return this.#workerId;
  }

  /** CLAIM found all that earlier holders could issue to lie before it. */
  get issuableFromMs(): number {
    return this.#issuableFromMs;
  }

  issuableUntilMs(): number {
    return this.#issuableUntilMs;
  }

  /** Extends the lease, or claims another worker id when this one has been given away. Called by its own timer. */
  async renew(): Promise<void> {
    const nowMs = this.#clock.now();
    const values = [this.#holder, new Date(nowMs), LEASE_MS, this.#workerId];
    const rows = await this.#query<{ issuable_until: number }>(RENEW, values);
    if (rows[0]) {
      this.#issuableUntilMs = rows[0].issuable_until;
      return;
    }
    this.#issuableUntilMs = 0;
    await this.#claim();
  }

  async release(): Promise<void> {
    clearInterval(this.#timer);
    this.#issuableUntilMs = 0;
    await this.#query(RELEASE, [this.#holder, this.#workerId]).catch(() => undefined);
  }

  async #claim(): Promise<void> {
    const nowMs = this.#clock.now();
    this.#holder = randomUUID();
    // Another process may win the candidate between SELECT and INSERT; a handful of draws among 1,024 is plenty.
    for (let attempt = 0; attempt < 5; attempt += 1) {
      const [row] = await this.#query<{ worker_id: number }>(CLAIM, [this.#holder, new Date(nowMs), LEASE_MS]);
      if (row) {
        this.#workerId = row.worker_id;
        this.#issuableFromMs = nowMs;
        this.#issuableUntilMs = nowMs + LEASE_MS;
        return;
      }
    }
    throw new Error('all 1,024 worker ids are leased: are this many processes running, or is a clock far ahead?');
  }

  async #query<Row extends Record<string, unknown>>(text: string, values: unknown[]): Promise<Row[]> {
    return this.#database.transaction('platform', Deadline.after(ATTEMPT_MS, this.#clock), async (client) => {
      const result = await client.query<Row>({ text, values });
      return result.rows;
    });
  }
}
