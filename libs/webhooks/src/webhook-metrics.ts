import { snowflakeTimeMs } from '#kernel/snowflake.js';
import { int8Array } from '#platform/binary-array.js';
import { Deadline } from '#platform/deadline.js';
import { merchantPages } from '#platform/merchant-pages.js';
import { labelled, type Metrics } from '#platform/metrics.js';
import type { Database } from '#platform/postgres.js';
import type { WebhookSender } from './sender.js';

const PAGE_DEADLINE_MS = 10_000;
/** Deliveries counted of one endpoint: beyond that a number tells nothing more. */
const COUNTED = 10_000;

const BACKLOG = {
  name: 'webhooks-backlog',
  text: `
SELECT count(*) FILTER (WHERE e.status = 'disabled')::int AS disabled,
       coalesce(sum(l.due) FILTER (WHERE e.status = 'enabled'), 0)::int AS due,
       min(l.oldest) FILTER (WHERE e.status = 'enabled') AS oldest
  FROM webhook_endpoints e
  CROSS JOIN LATERAL (
    SELECT count(*) AS due, min(id) AS oldest
      FROM (SELECT id FROM webhook_deliveries
             WHERE merchant_id = e.merchant_id AND endpoint_id = e.id AND status = 'due'
             ORDER BY redelivery DESC, event_xid, event_seq LIMIT ${COUNTED}) d) l
 WHERE e.merchant_id = ANY ($1::bigint[]) AND e.status <> 'deleted'`,
};

interface BacklogRow extends Record<string, unknown> {
  disabled: number;
  due: number;
  oldest: bigint | null;
}

/** What waits to be sent, of all merchants, as of the last look. */
export class WebhookBacklog {
  /** Deliveries due to enabled endpoints; when the oldest of them was made, in milliseconds since 1970; endpoints disabled. */
  seen: { due: number; oldestMs: number | undefined; disabled: number } = { due: 0, oldestMs: undefined, disabled: 0 };
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async look(): Promise<void> {
    const seen = { due: 0, oldestMs: undefined as number | undefined, disabled: 0 };
    const deadline = (): Deadline => Deadline.after(PAGE_DEADLINE_MS);
    for await (const merchantIds of merchantPages(this.#database, deadline)) {
      const [row] = await this.#database.read<BacklogRow>({ merchantIds }, deadline(), {
        ...BACKLOG,
        values: [int8Array(merchantIds)],
      });
      if (!row) continue;
      seen.due += row.due;
      seen.disabled += row.disabled;
      if (row.oldest !== null) seen.oldestMs = Math.min(seen.oldestMs ?? Infinity, snowflakeTimeMs(row.oldest));
    }
    this.seen = seen;
  }
}

export function addWebhookMetrics(
  metrics: Metrics,
  { sender, backlog, nowMs }: { sender: WebhookSender; backlog: WebhookBacklog; nowMs: () => number },
): void {
  metrics.counter(
    'counterfoil_webhook_deliveries_total',
    'Requests by what came of them: delivered; retried; failed for good; lapsed (the event is gone); fenced (recorded by nobody: the lease was over); aborted (the process ended).',
    () => {
      const { delivered, retried, failed, lapsed, fenced, aborted } = sender.counts;
      return labelled('outcome', { delivered, retried, failed, lapsed, fenced, aborted });
    },
  );
  metrics.histogram(
    'counterfoil_webhook_delivery_seconds',
    'How long requests to endpoints took, until their answer or their failure.',
    () => labelled('outcome', sender.durations),
  );
  metrics.counter('counterfoil_webhook_disables_total', 'Endpoints disabled here.', () => sender.counts.disabled);
  metrics.gauge('counterfoil_webhook_busy', 'Endpoints that are being sent to.', () => sender.busy);
  metrics.gauge(
    'counterfoil_webhook_slow',
    'Requests in hand that have waited for WEBHOOK_SLOW_MS, and turns that go on after one.',
    () => sender.rooms.slow,
  );
  metrics.gauge('counterfoil_webhook_due', 'Deliveries due to enabled endpoints.', () => backlog.seen.due);
  metrics.gauge('counterfoil_webhook_due_age_seconds', 'Age of the oldest of them.', () => {
    const { oldestMs } = backlog.seen;
    return oldestMs === undefined ? 0 : Math.max(0, nowMs() - oldestMs) / 1_000;
  });
  metrics.gauge('counterfoil_webhook_disabled_endpoints', 'Endpoints that are disabled.', () => backlog.seen.disabled);
}
