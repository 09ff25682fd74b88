import { type Clock, systemClock } from '#kernel/clock.js';
import { snowflakeTimeMs } from '#kernel/snowflake.js';
import { Deadline } from '#platform/deadline.js';
import type { Metrics } from '#platform/metrics.js';
import type { Database } from '#platform/postgres.js';

const LOOK_DEADLINE_MS = 5_000;
/** Beyond that a number tells nothing more. */
const COUNTED = 100_000;

/** Ids ascend with time. */
const OPEN = `
SELECT kind, count(*)::int AS count, min(id) AS oldest
  FROM (SELECT kind, id FROM breaks WHERE resolution IS NULL LIMIT ${COUNTED}) b GROUP BY kind`;
const IN_WORK = `
SELECT status, count(*)::int AS count FROM reconciliations WHERE status IN ('receiving', 'matching') GROUP BY status`;

interface Open {
  kind: string;
  count: number;
  oldest: bigint;
}

/** Breaks that nobody has ended, and reports that are not done, of all merchants, as of the last look. */
export class OpenBreaks {
  #open: readonly Open[] = [];
  #inWork: readonly { status: string; count: number }[] = [];

  constructor(
    private readonly database: Database,
    private readonly clock: Clock = systemClock,
  ) {}

  async look(): Promise<void> {
    const deadline = Deadline.after(LOOK_DEADLINE_MS);
    this.#open = await this.database.read<Open & Record<string, unknown>>('platform', deadline, { text: OPEN });
    this.#inWork = await this.database.read<{ status: string; count: number }>('platform', deadline, { text: IN_WORK });
  }

  addMetrics(metrics: Metrics): void {
    metrics.gauge(
      'counterfoil_breaks_open',
      `Breaks that are neither resolved nor written off, by kind; at most ${COUNTED} in all.`,
      () => this.#open.map(({ kind, count }) => [{ kind }, count] as const),
    );
    metrics.gauge('counterfoil_breaks_open_oldest_seconds', 'How long ago the oldest of them was found, by kind.', () =>
      this.#open.map(({ kind, oldest }) => [{ kind }, this.#ageOf(oldest)] as const),
    );
    metrics.gauge(
      'counterfoil_reconciliations_in_work',
      'Reports that are being received or wait to be matched, of all merchants.',
      () => this.#inWork.map(({ status, count }) => [{ status }, count] as const),
    );
  }

  #ageOf(id: bigint): number {
    return Math.max(0, this.clock.now() - snowflakeTimeMs(id)) / 1_000;
  }
}
