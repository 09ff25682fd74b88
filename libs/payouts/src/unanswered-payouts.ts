import { type Clock, systemClock } from '#kernel/clock.js';
import { snowflakeTimeMs } from '#kernel/snowflake.js';
import { Deadline } from '#platform/deadline.js';
import type { Metrics } from '#platform/metrics.js';
import type { Database } from '#platform/postgres.js';
import { PAYOUT } from './payout-timers.js';

const LOOK_DEADLINE_MS = 5_000;
/** Beyond that a number tells nothing more. */
const COUNTED = 10_000;

/** $1 kind. Ids ascend with time. */
const WAITING = `
SELECT count(*)::int AS count, min(subject_id) AS oldest
  FROM (SELECT subject_id FROM due_rows WHERE kind = $1 ORDER BY try_at LIMIT ${COUNTED}) w`;

/** Payouts that are on their way, of all merchants, as of the last look. */
export class UnansweredPayouts {
  #count = 0;
  #oldest: bigint | undefined;

  constructor(
    private readonly database: Database,
    private readonly clock: Clock = systemClock,
  ) {}

  async look(): Promise<void> {
    const query = { text: WAITING, values: [PAYOUT] };
    const deadline = Deadline.after(LOOK_DEADLINE_MS);
    const [row] = await this.database.read<{ count: number; oldest: bigint | null }>('platform', deadline, query);
    this.#count = row?.count ?? 0;
    this.#oldest = row?.oldest ?? undefined;
  }

  addMetrics(metrics: Metrics): void {
    metrics.gauge(
      'counterfoil_payouts_unanswered',
      `Payouts that are reserved or instructed, and that the bank has neither paid nor failed; at most ${COUNTED}.`,
      () => this.#count,
    );
    metrics.gauge(
      'counterfoil_payouts_unanswered_oldest_seconds',
      'How long ago the oldest of them was asked for.',
      () => (this.#oldest === undefined ? 0 : Math.max(0, this.clock.now() - snowflakeTimeMs(this.#oldest)) / 1_000),
    );
  }
}
