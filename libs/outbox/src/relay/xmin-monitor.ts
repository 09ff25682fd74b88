import { Deadline } from '#platform/deadline.js';
import type { Logger } from '#platform/logging.js';
import type { Database } from '#platform/postgres.js';

const DEADLINE_MS = 2_000;
const SNAPSHOT = 'SELECT pg_snapshot_xmin(s) AS xmin, pg_snapshot_xmax(s) AS xmax FROM pg_current_snapshot() s';

/** $1 milliseconds. Sessions of our own role only: others' are not ours to end, nor to look into. */
const END_OLDEST = `
SELECT pg_terminate_backend(pid) AS ended, pid FROM pg_stat_activity
 WHERE usename = current_user AND datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()
   AND xact_start < now() - $1::int * interval '1 millisecond'`;

/**
 * Watches the transaction that holds back the log: events at or above the oldest open xid wait for its end. How old it is
 * shows without any right to look at other sessions: the snapshot's xmin stands still.
 */
export class XminMonitor {
  readonly #database: Database;
  readonly #logger: Logger;
  readonly #limitMs: number;
  #xmin: bigint | undefined;
  #sinceMs = 0;
  #ageMs = 0;

  /** `limitMs`: age from which transactions of our own role are ended; 0: never. */
  constructor(database: Database, logger: Logger, limitMs: number) {
    this.#database = database;
    this.#logger = logger;
    this.#limitMs = limitMs;
  }

  /** How long the oldest open transaction has been seen to hold back the log, in milliseconds. */
  get ageMs(): number {
    return this.#ageMs;
  }

  async round(): Promise<void> {
    const [row] = await this.#database.read<{ xmin: bigint; xmax: bigint }>('relay', Deadline.after(DEADLINE_MS), {
      text: SNAPSHOT,
    });
    const nowMs = performance.now();
    if (!row || row.xmin === row.xmax || row.xmin !== this.#xmin) {
      this.#xmin = row?.xmin;
      this.#sinceMs = nowMs;
    }
    this.#ageMs = nowMs - this.#sinceMs;
    if (this.#limitMs === 0 || this.#ageMs < this.#limitMs) return;
    this.#logger.error({ age_ms: Math.round(this.#ageMs) }, 'an open transaction holds back the events of everybody');
    await this.#database.transaction('relay', Deadline.after(DEADLINE_MS), (client) =>
      client.query({ text: END_OLDEST, values: [this.#limitMs] }),
    );
  }
}
