import { isPassing } from '#kernel/problem.js';
import { Deadline } from './deadline.js';
import { type DueRow, DueRows, FIRST_WAIT_MS, LONGEST_WAIT_MS, type Postponed } from './due-rows.js';
import type { Logger } from './logging.js';
import type { Database } from './postgres.js';

/** Rows claimed and worked on at once, unless a kind has fewer. */
const PAGE = 200;
/**
 * Due rows among which merchants take turns, those that waited longest. One merchant with more than this many due at once
 * makes those wait whose rows became due later, until it has been worked off to here.
 */
const LOOK_AHEAD = 10_000;
/** How long the work on a row may take. */
const WORK_MS = 10_000;
/** Longer than the work: a second claim of a row means that the first claimer is gone, or asleep. */
const LEASE_MS = 30_000;
/** Wait of a row that was not at fault: a clock that is behind PostgreSQL's, a database that restarts, a ledger that is busy. */
const NOT_YET_WAIT_MS = 500;
/** Others claim at the moment what is due. */
const OTHERS_CLAIM_WAIT_MS = 50;
const LONGEST_ERROR = 500;

/** `not yet`: to be tried again in a moment. `againAtMs`: done for now, and due anew then. */
export type DueResult = 'done' | 'not yet' | { readonly againAtMs: number };

/** Something that is done about a subject once its time has come. */
export interface DueKind {
  /** Of its rows; what is stored. */
  readonly name: string;
  /** Rows worked on at once, where that is fewer than a page. */
  readonly atOnce?: number;
  /**
   * Must be harmless when it is done twice: a lease may end while its holder sleeps. Throws where it failed: then the row, and
   * no other, waits.
   */
  run(row: DueRow, deadline: Deadline): Promise<DueResult>;
}

interface Outcome {
  row: DueRow;
  is: DueResult | 'failed' | 'away';
  error?: unknown;
}

/**
 * Works off the due rows of one kind, in any number of processes at once. `nextInMs` says when it has something to do next, so
 * that nobody looks at merchants who have nothing due.
 */
export class DueWork {
  readonly #rows: DueRows;
  readonly #kind: DueKind;
  readonly #logger: Logger | undefined;
  #nextInMs: number | undefined = 0;
  #failures = 0;

  constructor(database: Database, kind: DueKind, logger?: Logger) {
    this.#rows = new DueRows(database, kind.name);
    this.#kind = kind;
    this.#logger = logger;
  }

  /** Work that failed since the process began. */
  get failures(): number {
    return this.#failures;
  }

  /** Milliseconds until the next round is needed, as the last one knew it. Undefined: nothing waits, or the round failed. */
  get nextInMs(): number | undefined {
    return this.#nextInMs;
  }

  /** One page of what is due. Returns how many rows were done; throws at its end when the database was away, or the ledger busy. */
  async round(): Promise<number> {
    this.#nextInMs = undefined;
    const nextInMs = await this.#rows.nextInMs(Deadline.after(WORK_MS));
    if (nextInMs === undefined || nextInMs > 0) {
      this.#nextInMs = nextInMs;
      return 0;
    }
    const options = { page: this.#kind.atOnce ?? PAGE, lookAhead: LOOK_AHEAD, leaseMs: LEASE_MS };
    const rows = await this.#rows.claim(options, Deadline.after(WORK_MS));
    const outcomes = await Promise.all(rows.map((row) => this.#work(row)));
    await this.#settle(outcomes);
    const away = outcomes.find((outcome) => outcome.is === 'away');
    if (away) throw away.error;
    this.#nextInMs = rows.length > 0 ? 0 : OTHERS_CLAIM_WAIT_MS;
    return outcomes.filter(({ is }) => is === 'done' || typeof is === 'object').length;
  }

  async #work(row: DueRow): Promise<Outcome> {
    const deadline = Deadline.after(WORK_MS);
    try {
      return { row, is: await deadline.race(this.#kind.run(row, deadline)) };
    } catch (error) {
      return { row, is: isPassing(error) ? 'away' : 'failed', error };
    }
  }

  async #settle(outcomes: readonly Outcome[]): Promise<void> {
    const done = outcomes.filter((outcome) => outcome.is === 'done');
    const again = outcomes.flatMap(({ row, is }) => (typeof is === 'object' ? [{ row, dueAtMs: is.againAtMs }] : []));
    const others = outcomes.filter(({ is }) => is !== 'done' && typeof is === 'string');
    await this.#rows.done(
      done.map(({ row }) => row),
      Deadline.after(WORK_MS),
    );
    await this.#rows.reschedule(again, Deadline.after(WORK_MS));
    await this.#rows.postpone(
      others.map((outcome) => this.#postponed(outcome)),
      Deadline.after(WORK_MS),
    );
  }

  #postponed(outcome: Outcome): Postponed {
    const { row } = outcome;
    if (outcome.is !== 'failed') return { row, waitMs: NOT_YET_WAIT_MS, attempts: row.attempts - 1, error: undefined };
    this.#failures += 1;
    const { merchantId, subjectId, attempts } = row;
    const waitMs = Math.min(FIRST_WAIT_MS * 2 ** (attempts - 1), LONGEST_WAIT_MS);
    this.#logger?.error(
      {
        err: outcome.error,
        kind: this.#kind.name,
        merchant_id: String(merchantId),
        subject_id: String(subjectId),
        attempts,
        retry_ms: waitMs,
      },
      'what was due could not be done',
    );
    return { row, waitMs, attempts, error: errorText(outcome.error) };
  }
}

/** PostgreSQL's text has no NUL. */
export function errorText(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replaceAll('\0', '').slice(0, LONGEST_ERROR);
}
