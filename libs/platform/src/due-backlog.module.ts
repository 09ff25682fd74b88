import { Inject, Module } from '@nestjs/common';
import { Deadline } from './deadline.js';
import { LONGEST_WAIT_MS } from './due-work.js';
import type { DutyPlan } from './duty.js';
import type { Metrics } from './metrics.js';
import { CONFIG } from './platform.module.js';
import { Database } from './postgres.js';
import type { BringsDuties, BringsMetrics } from './room-hooks.js';
import type { PlatformSettings } from './settings.js';

const LOOK_INTERVAL_MS = 10_000;
const LOOK_DEADLINE_MS = 5_000;
/** Rows looked at of a kind, those to be tried next: beyond that a number tells nothing more. */
const COUNTED = 10_000;

/**
 * $1 milliseconds that a row waits at most from one try to the next. Kinds one after the other along the index due_rows_next: no build
 * has to know them. A row whose time has come and that failed, or is at work, is overdue as well.
 */
const OVERDUE = `
WITH RECURSIVE kinds (kind) AS (
  (SELECT kind FROM due_rows ORDER BY kind LIMIT 1)
  UNION ALL
  SELECT (SELECT d.kind FROM due_rows d WHERE d.kind > k.kind ORDER BY d.kind LIMIT 1) FROM kinds k WHERE k.kind IS NOT NULL)
SELECT kind, count(*) FILTER (WHERE due_at <= now())::int AS count,
       greatest(extract(epoch FROM now() - min(due_at)), 0)::float8 AS age_s
  FROM kinds
 CROSS JOIN LATERAL (SELECT due_at FROM due_rows d
                      WHERE d.kind = kinds.kind AND try_at <= now() + $1::int * interval '1 millisecond'
                      ORDER BY try_at LIMIT ${COUNTED}) next
 GROUP BY kind`;

interface Overdue extends Record<string, unknown> {
  kind: string;
  count: number;
  age_s: number;
}

/** Tells what is due of each kind and not done, of all merchants, as of the last look. */
@Module({})
export class DueBacklogModule implements BringsDuties, BringsMetrics {
  #seen: readonly Overdue[] = [];

  constructor(
    @Inject(CONFIG) private readonly config: Pick<PlatformSettings, 'metricsPort'>,
    private readonly database: Database,
  ) {}

  duties(): readonly DutyPlan[] {
    if (this.config.metricsPort === 0) return [];
    return [{ name: 'count what is overdue', intervalMs: LOOK_INTERVAL_MS, round: () => this.look() }];
  }

  async look(): Promise<void> {
    this.#seen = await this.database.read<Overdue>('platform', Deadline.after(LOOK_DEADLINE_MS), {
      text: OVERDUE,
      values: [LONGEST_WAIT_MS],
    });
  }

  addMetrics(metrics: Metrics): void {
    const label = ['kind'];
    metrics.gauge(
      'counterfoil_due_rows_overdue',
      `Rows whose time has come and that are not done, at most ${COUNTED} of a kind.`,
      () => this.#seen.map(({ kind, count }) => [{ kind }, count]),
      label,
    );
    metrics.gauge(
      'counterfoil_due_rows_overdue_seconds',
      'How long ago the time of the oldest of them came.',
      () => this.#seen.map(({ kind, age_s }) => [{ kind }, age_s]),
      label,
    );
  }
}
