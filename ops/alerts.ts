/** An alert. What fires it here fires it in a drill, only sooner: with a shorter window and `for`, and where it tells an age, a lower limit. */
export interface Alert {
  readonly name: string;
  /** `page`: somebody gets up. `ticket`: somebody looks in the morning. */
  readonly severity: 'page' | 'ticket';
  readonly summary: string;
  /** In PromQL; `window`: of its rates; `above`: its limit. */
  readonly expr: (window: string, above: number) => string;
  readonly above: number;
  /** The same in a drill. */
  readonly drillAbove?: number;
  readonly forMinutes: number;
  /** Of `npm run drills`: what makes it fire on a running service. */
  readonly drill: DrillName;
  /** For `promtool test rules`: series whose values fire it, those that do not, and the labels it then has. */
  readonly test: {
    readonly series: Readonly<Record<string, readonly [fires: string, quiet: string]>>;
    readonly labels?: Readonly<Record<string, string>>;
  };
}

export const DRILLS = [
  'apart-stuck',
  'bank-stopped',
  'cache-stopped',
  'database-stopped',
  'event-loop-stopped',
  'future-event',
  'handler-killed',
  'hold-locked',
  'open-transaction',
  'queue-stopped',
  'slow-database',
  'strangers',
  'table-locked',
  'usage-locked',
  'webhook-away',
  'worker-killed',
  'wrong-balance',
] as const;
export type DrillName = (typeof DRILLS)[number];

const C = 'counterfoil_';
const FIVE = '0+60x30';
const NONE = '0x30';

export const ALERTS: readonly Alert[] = [
  {
    name: 'ServiceDown',
    severity: 'page',
    summary: 'An API or a worker does not answer its metrics.',
    expr: () => 'up{job="counterfoil"} == 0',
    above: 0,
    forMinutes: 1,
    drill: 'worker-killed',
    test: {
      series: { 'up{job="counterfoil",instance="worker"}': ['0x30', '1x30'] },
      labels: { job: 'counterfoil', instance: 'worker' },
    },
  },
  {
    name: 'ServerErrors',
    severity: 'page',
    summary: 'More than one answer in a hundred is a fault of ours (5xx).',
    expr: (window, above) =>
      `sum(rate(${C}http_requests_total{status="5xx"}[${window}])) / sum(rate(${C}http_requests_total[${window}])) > ${above}`,
    above: 0.01,
    forMinutes: 2,
    drill: 'database-stopped',
    test: {
      series: {
        'counterfoil_http_requests_total{status="5xx"}': [FIVE, NONE],
        'counterfoil_http_requests_total{status="2xx"}': ['0+600x30', '0+600x30'],
      },
    },
  },
  {
    name: 'DatabaseUnavailable',
    severity: 'page',
    summary: 'Commands fail because PostgreSQL is away or too slow for their deadlines.',
    expr: (window, above) =>
      `sum(rate(${C}command_seconds_count{outcome=~"database_unavailable|deadline_exceeded"}[${window}])) > ${above}`,
    above: 0,
    forMinutes: 1,
    drill: 'database-stopped',
    test: {
      series: {
        'counterfoil_command_seconds_count{name="PostTransaction",outcome="database_unavailable"}': [FIVE, NONE],
      },
    },
  },
  {
    name: 'PostingsSlow',
    severity: 'page',
    summary: 'One posting in a hundred takes longer than a second.',
    expr: (window, above) =>
      `histogram_quantile(0.99, sum by (le) (rate(${C}http_request_seconds_bucket{method="POST",route="/v1/transactions"}[${window}]))) > ${above}`,
    above: 1,
    forMinutes: 5,
    drill: 'slow-database',
    test: {
      series: {
        'counterfoil_http_request_seconds_bucket{method="POST",route="/v1/transactions",status="2xx",le="1.0"}': [
          NONE,
          FIVE,
        ],
        'counterfoil_http_request_seconds_bucket{method="POST",route="/v1/transactions",status="2xx",le="2.5"}': [
          FIVE,
          FIVE,
        ],
        'counterfoil_http_request_seconds_bucket{method="POST",route="/v1/transactions",status="2xx",le="+Inf"}': [
          FIVE,
          FIVE,
        ],
      },
    },
  },
  {
    name: 'PostingsWait',
    severity: 'page',
    summary: 'More than half of the places for postings that wait are taken: then come 503 overloaded.',
    expr: (_, above) => `${C}writer_waiting / ${C}writer_capacity > ${above}`,
    above: 0.5,
    forMinutes: 2,
    drill: 'slow-database',
    test: {
      series: { counterfoil_writer_waiting: ['900x30', '9x30'], counterfoil_writer_capacity: ['1000x30', '1000x30'] },
    },
  },
  {
    name: 'ConnectionsBusy',
    severity: 'ticket',
    summary: 'Requests wait for a connection to PostgreSQL all the time.',
    expr: (_, above) => `${C}database_pool_waiting > ${above}`,
    above: 0,
    forMinutes: 5,
    drill: 'table-locked',
    test: { series: { counterfoil_database_pool_waiting: ['4x30', '0x30'] } },
  },
  {
    name: 'EventLoopLate',
    severity: 'page',
    summary: 'A process is late by a quarter of a second: it is blocked, or has no core to run on.',
    expr: (_, above) => `nodejs_eventloop_lag_p99_seconds > ${above}`,
    above: 0.25,
    forMinutes: 5,
    drill: 'event-loop-stopped',
    test: { series: { nodejs_eventloop_lag_p99_seconds: ['0.4x30', '0.02x30'] } },
  },
  {
    name: 'CacheAway',
    severity: 'ticket',
    summary: 'The cache’s Redis does not answer in time; balances come from PostgreSQL.',
    expr: (_, above) => `${C}balance_breaker{state="closed"} == ${above}`,
    above: 0,
    forMinutes: 2,
    drill: 'cache-stopped',
    test: { series: { 'counterfoil_balance_breaker{state="closed"}': ['0x30', '1x30'] }, labels: { state: 'closed' } },
  },
  {
    name: 'CacheWrong',
    severity: 'page',
    summary: 'The monitor has found cached balances that were wrong. They are healed; why they were is not known.',
    expr: (window, above) =>
      `sum by (verdict) (increase(${C}balance_monitor_accounts_total{verdict=~"stale|ahead|corrupt"}[${window}])) > ${above}`,
    above: 0,
    forMinutes: 0,
    drill: 'wrong-balance',
    test: {
      series: { 'counterfoil_balance_monitor_accounts_total{verdict="ahead"}': [FIVE, NONE] },
      labels: { verdict: 'ahead' },
    },
  },
  {
    name: 'InvalidationsPending',
    severity: 'page',
    summary: 'A Redis that others may still reach has not confirmed what changed.',
    expr: (_, above) => `${C}balance_pending_invalidations > ${above}`,
    above: 0,
    forMinutes: 5,
    drill: 'cache-stopped',
    test: { series: { counterfoil_balance_pending_invalidations: ['7x30', '0x30'] } },
  },
  {
    name: 'BudgetsAway',
    severity: 'ticket',
    summary: 'Budgets cannot be asked for in Redis, and shares of them are spent.',
    expr: (_, above) => `${C}limit_shares == ${above}`,
    above: 1,
    forMinutes: 2,
    drill: 'cache-stopped',
    test: { series: { counterfoil_limit_shares: ['1x30', '0x30'] } },
  },
  {
    name: 'EventsLate',
    severity: 'page',
    summary: 'A consumer is behind the log by more than a minute.',
    expr: (_, above) => `max by (consumer) (${C}events_lag_seconds) > ${above}`,
    above: 60,
    drillAbove: 4,
    forMinutes: 2,
    drill: 'queue-stopped',
    test: {
      series: { 'counterfoil_events_lag_seconds{consumer="balances"}': ['90x30', '1x30'] },
      labels: { consumer: 'balances' },
    },
  },
  {
    name: 'EventsApartLate',
    severity: 'ticket',
    summary: 'A merchant that goes apart from its partition is behind by more than ten minutes.',
    expr: (_, above) => `max by (consumer) (${C}events_apart_lag_seconds) > ${above}`,
    above: 600,
    drillAbove: 4,
    forMinutes: 5,
    drill: 'apart-stuck',
    test: {
      series: { 'counterfoil_events_apart_lag_seconds{consumer="webhooks"}': ['900x30', '9x30'] },
      labels: { consumer: 'webhooks' },
    },
  },
  {
    name: 'LogHeldBack',
    severity: 'page',
    summary: 'An open transaction holds back everybody’s events.',
    expr: (_, above) => `max(${C}events_held_back_seconds) > ${above}`,
    above: 60,
    drillAbove: 4,
    forMinutes: 1,
    drill: 'open-transaction',
    test: { series: { counterfoil_events_held_back_seconds: ['90x30', '1x30'] } },
  },
  {
    name: 'DeadLetters',
    severity: 'ticket',
    summary: 'Events were given up on, and wait for somebody’s decision.',
    expr: (_, above) => `max by (consumer) (${C}dead_letters{status="parked"}) > ${above}`,
    above: 0,
    forMinutes: 1,
    drill: 'future-event',
    test: {
      series: { 'counterfoil_dead_letters{consumer="daily_summaries",status="parked"}': ['2x30', '0x30'] },
      labels: { consumer: 'daily_summaries' },
    },
  },
  {
    name: 'HandlersLost',
    severity: 'ticket',
    summary: 'A handler’s process ended, or had to be ended.',
    expr: (window, above) => `sum by (consumer) (increase(${C}consumer_processes_lost_total[${window}])) > ${above}`,
    above: 0,
    forMinutes: 0,
    drill: 'handler-killed',
    test: {
      series: { 'counterfoil_consumer_processes_lost_total{consumer="webhooks"}': [FIVE, NONE] },
      labels: { consumer: 'webhooks' },
    },
  },
  {
    name: 'TimersLate',
    severity: 'page',
    summary: 'Timers of a kind are late by more than ten minutes: holds, payments, settlement, payouts, inboxes.',
    expr: (_, above) => `max by (kind) (${C}due_rows_overdue_seconds) > ${above}`,
    above: 600,
    drillAbove: 4,
    forMinutes: 1,
    drill: 'hold-locked',
    test: {
      series: { 'counterfoil_due_rows_overdue_seconds{kind="settlement"}': ['900x30', '9x30'] },
      labels: { kind: 'settlement' },
    },
  },
  {
    name: 'JobsFail',
    severity: 'ticket',
    summary: 'Rounds of a duty fail again and again.',
    expr: (window, above) => `sum by (job) (increase(${C}job_failures_total[${window}])) > ${above}`,
    above: 2,
    drillAbove: 0,
    forMinutes: 2,
    drill: 'database-stopped',
    test: {
      series: { 'counterfoil_job_failures_total{job="watch the log"}': [FIVE, NONE] },
      labels: { job: 'watch the log' },
    },
  },
  {
    name: 'PayoutsUnanswered',
    severity: 'page',
    summary: 'The bank has not answered for a quarter of an hour. Never pay by hand.',
    expr: (_, above) => `max(${C}payouts_unanswered_oldest_seconds) > ${above}`,
    above: 900,
    drillAbove: 4,
    forMinutes: 1,
    drill: 'bank-stopped',
    test: { series: { counterfoil_payouts_unanswered_oldest_seconds: ['1200x30', '10x30'] } },
  },
  {
    name: 'WebhooksLate',
    severity: 'ticket',
    summary: 'Webhooks wait for longer than a quarter of an hour: receivers are away, or our way out is.',
    expr: (_, above) => `max(${C}webhook_due_age_seconds) > ${above}`,
    above: 900,
    drillAbove: 4,
    forMinutes: 5,
    drill: 'webhook-away',
    test: { series: { counterfoil_webhook_due_age_seconds: ['1200x30', '10x30'] } },
  },
  {
    name: 'UsageUnwritten',
    severity: 'ticket',
    summary: 'Sums of usage cannot be written. They are kept until they can.',
    expr: (window, above) => `sum(increase(${C}usage_failures_total[${window}])) > ${above}`,
    above: 0,
    forMinutes: 1,
    drill: 'usage-locked',
    test: { series: { counterfoil_usage_failures_total: [FIVE, NONE] } },
  },
  {
    name: 'StrangersRefused',
    severity: 'ticket',
    summary: 'Somebody guesses keys, or TRUSTED_PROXIES is not set.',
    expr: (window, above) => `sum by (by) (rate(${C}stranger_refusals_total[${window}])) > ${above}`,
    above: 0,
    forMinutes: 1,
    drill: 'strangers',
    test: { series: { 'counterfoil_stranger_refusals_total{by="address"}': [FIVE, NONE] }, labels: { by: 'address' } },
  },
];

/** `DeadLetters` → `dead-letters`: where docs/operations.md says what to do. */
export function anchorOf(name: string): string {
  return name.replace(/(?<=.)[A-Z]/g, (letter) => `-${letter}`).toLowerCase();
}
