import { Deadline } from '#platform/deadline.js';
import type { Metrics } from '#platform/metrics.js';
import type { Database } from '#platform/postgres.js';
import { PARKED_FACT } from './timers.js';

const LOOK_DEADLINE_MS = 5_000;
/** Beyond that a number tells nothing more. */
const COUNTED = 10_000;

/** $1 kind. Those whose time comes first have waited longest. */
const WAITING = `
SELECT count(*)::int AS count, extract(epoch FROM min(due_at) - now())::float8 AS left_s
  FROM (SELECT due_at FROM due_rows WHERE kind = $1 ORDER BY try_at LIMIT ${COUNTED}) w`;

/** Facts that wait for their cause and are no dead letters yet, of all merchants, as of the last look. */
export class ParkedBacklog {
  #count = 0;
  #ageS = 0;

  constructor(
    private readonly database: Database,
    private readonly maxAgeMs: number,
  ) {}

  async look(): Promise<void> {
    const query = { text: WAITING, values: [PARKED_FACT] };
    const deadline = Deadline.after(LOOK_DEADLINE_MS);
    const [row] = await this.database.read<{ count: number; left_s: number | null }>('platform', deadline, query);
    this.#count = row?.count ?? 0;
    this.#ageS = row?.left_s == null ? 0 : Math.max(0, this.maxAgeMs / 1_000 - row.left_s);
  }

  addMetrics(metrics: Metrics): void {
    metrics.gauge(
      'counterfoil_parked_facts',
      `Facts of payments that wait for their cause, at most ${COUNTED}.`,
      () => this.#count,
    );
    metrics.gauge(
      'counterfoil_parked_facts_oldest_seconds',
      'How long the oldest of them has waited.',
      () => this.#ageS,
    );
  }
}
