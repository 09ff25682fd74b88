import { C } from './alert.js';

/** A graph: what is asked for, and how its lines are named. */
export interface Panel {
  readonly title: string;
  readonly unit: 's' | 'reqps' | 'ops' | 'short' | 'percentunit' | 'bytes';
  readonly lines: Readonly<Record<string, string>>;
}

export interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly rows: Readonly<Record<string, readonly Panel[]>>;
}

/** Grafana's own: four scrapes, or what a pixel stands for. */
const W = '[$__rate_interval]';

const rate = (series: string, by: string) => `sum by (${by}) (rate(${C}${series}${W}))`;
const quantile = (q: number, name: string, by = '', matchers = '') =>
  `histogram_quantile(${q}, sum by (le${by && `, ${by}`}) (rate(${C}${name}_bucket${matchers}${W})))`;
const mean = (name: string, by: string) => `${rate(`${name}_sum`, by)} / ${rate(`${name}_count`, by)}`;

const POSTINGS = '{method="POST",route="/v1/transactions"}';

export const DASHBOARDS: readonly Dashboard[] = [
  {
    uid: 'counterfoil-service',
    title: 'Counterfoil: service',
    rows: {
      'Requests: rate, errors, duration': [
        { title: 'Requests by class', unit: 'reqps', lines: { '{{status}}': rate('http_requests_total', 'status') } },
        {
          title: 'Postings',
          unit: 's',
          lines: {
            p50: quantile(0.5, 'http_request_seconds', '', POSTINGS),
            p99: quantile(0.99, 'http_request_seconds', '', POSTINGS),
            'p99.9': quantile(0.999, 'http_request_seconds', '', POSTINGS),
          },
        },
        {
          title: 'p99 by route',
          unit: 's',
          lines: { '{{method}} {{route}}': quantile(0.99, 'http_request_seconds', 'method, route') },
        },
        {
          title: 'Commands by outcome',
          unit: 'ops',
          lines: { '{{name}} {{outcome}}': rate('command_seconds_count', 'name, outcome') },
        },
        { title: 'Queries, mean', unit: 's', lines: { '{{name}}': mean('query_seconds', 'name') } },
        { title: 'In hand', unit: 'short', lines: { '{{instance}}': `${C}http_requests_in_hand` } },
        { title: 'Up', unit: 'short', lines: { '{{instance}}': 'up{job="counterfoil"}' } },
      ],
      'Writer: lanes and groups': [
        {
          title: 'Wait for a group, p99',
          unit: 's',
          lines: { '{{lane}}': quantile(0.99, 'writer_wait_seconds', 'lane') },
        },
        {
          title: 'Requests of a group, mean',
          unit: 'short',
          lines: { '{{lane}}': mean('writer_group_requests', 'lane') },
        },
        {
          title: 'Steps of a group, p99',
          unit: 's',
          lines: { '{{step}}': quantile(0.99, 'writer_step_seconds', 'step') },
        },
        {
          title: 'Places taken',
          unit: 'percentunit',
          lines: { '{{instance}}': `${C}writer_waiting / ${C}writer_capacity` },
        },
        { title: 'Lanes at work', unit: 'short', lines: { '{{lane}}': `sum by (lane) (${C}writer_busy_lanes)` } },
        { title: 'Left behind', unit: 'ops', lines: { postings: `sum(rate(${C}writer_left_behind_total${W}))` } },
      ],
      'Balances: the cache': [
        {
          title: 'Reads by where they are answered',
          unit: 'reqps',
          lines: {
            Redis: `sum(rate(${C}balance_hits_total${W}))`,
            memory: `sum(rate(${C}balance_process_hits_total${W}))`,
            'filled anew': `sum(rate(${C}balance_misses_total${W}))`,
            'past a writer': `sum(rate(${C}balance_fenced_reads_total${W}))`,
            'without Redis': `sum(rate(${C}balance_bypassed_reads_total${W}))`,
          },
        },
        {
          title: 'Calls to Redis, p99',
          unit: 's',
          lines: { '{{call}}': quantile(0.99, 'balance_call_seconds', 'call') },
        },
        {
          title: 'Breaker and errors',
          unit: 'ops',
          lines: {
            '{{kind}}': rate('balance_redis_errors_total', 'kind'),
            open: `sum(${C}balance_breaker{state="open"})`,
          },
        },
        {
          title: 'What the monitor found',
          unit: 'ops',
          lines: { '{{verdict}}': rate('balance_monitor_accounts_total', 'verdict') },
        },
        {
          title: 'Not confirmed by Redis',
          unit: 'short',
          lines: {
            invalidations: `sum(${C}balance_pending_invalidations)`,
            'fences are refused': `max(${C}balance_refusing)`,
          },
        },
      ],
      Saturation: [
        {
          title: 'Share of a core',
          unit: 'percentunit',
          lines: { '{{instance}}': `rate(${C}event_loop_busy_seconds_total${W})` },
        },
        { title: 'Event loop, late, p99', unit: 's', lines: { '{{instance}}': 'nodejs_eventloop_lag_p99_seconds' } },
        {
          title: 'Connections to PostgreSQL',
          unit: 'short',
          lines: {
            '{{state}}': `sum by (state) (${C}database_pool_connections)`,
            wait: `sum(${C}database_pool_waiting)`,
          },
        },
        { title: 'Memory', unit: 'bytes', lines: { '{{instance}}': 'process_resident_memory_bytes' } },
        {
          title: 'Bytes held',
          unit: 'bytes',
          lines: {
            bodies: `sum(${C}http_body_bytes)`,
            answers: `sum(${C}http_unsent_bytes)`,
            pipelined: `sum(${C}http_pipelined_bytes)`,
          },
        },
        { title: 'Units charged', unit: 'ops', lines: { '{{price}}': rate('limit_units_total', 'price') } },
        {
          title: 'Refused by limits',
          unit: 'ops',
          lines: {
            '{{reason}}': rate('limit_refusals_total', 'reason'),
            'at the door, {{by}}': rate('stranger_refusals_total', 'by'),
          },
        },
        {
          title: 'Shares in place of budgets, usage that is not written',
          unit: 'short',
          lines: { shares: `max(${C}limit_shares)`, 'usage failed': `sum(rate(${C}usage_failures_total${W}))` },
        },
        { title: 'Fairness', unit: 'short', lines: { '{{instance}}': `${C}limit_fairness` } },
      ],
    },
  },
  {
    uid: 'counterfoil-work',
    title: 'Counterfoil: after the answer',
    rows: {
      'Events: relay and consumers': [
        { title: 'Behind the log', unit: 's', lines: { '{{consumer}}': `max by (consumer) (${C}events_lag_seconds)` } },
        {
          title: 'Age when applied, p99',
          unit: 's',
          lines: { '{{consumer}}': quantile(0.99, 'consumer_event_age_seconds', 'consumer') },
        },
        { title: 'Applied', unit: 'ops', lines: { '{{consumer}}': rate('consumer_events_total', 'consumer') } },
        {
          title: 'Tries that failed',
          unit: 'ops',
          lines: { '{{consumer}}': rate('consumer_failures_total', 'consumer') },
        },
        {
          title: 'Processes lost',
          unit: 'ops',
          lines: { '{{consumer}}': rate('consumer_processes_lost_total', 'consumer') },
        },
        { title: 'Queue connected', unit: 'short', lines: { '{{instance}}': `${C}queue_connected` } },
        { title: 'Partitions relayed', unit: 'short', lines: { '{{instance}}': `${C}relay_partitions` } },
        { title: 'Merchants apart', unit: 'short', lines: { '{{consumer}}': `max by (consumer) (${C}events_apart)` } },
        {
          title: 'Apart, behind the log',
          unit: 's',
          lines: { '{{consumer}}': `max by (consumer) (${C}events_apart_lag_seconds)` },
        },
        { title: 'Log held back', unit: 's', lines: { seconds: `max(${C}events_held_back_seconds)` } },
        {
          title: 'Dead letters',
          unit: 'short',
          lines: { '{{consumer}} {{status}}': `max by (consumer, status) (${C}dead_letters)` },
        },
      ],
      Webhooks: [
        { title: 'Deliveries', unit: 'ops', lines: { '{{outcome}}': rate('webhook_deliveries_total', 'outcome') } },
        {
          title: 'A request, p99',
          unit: 's',
          lines: { '{{outcome}}': quantile(0.99, 'webhook_delivery_seconds', 'outcome') },
        },
        {
          title: 'Due',
          unit: 'short',
          lines: { due: `max(${C}webhook_due)`, 'in hand': `sum(${C}webhook_busy)`, slow: `sum(${C}webhook_slow)` },
        },
        { title: 'Endpoints disabled', unit: 'ops', lines: { disabled: `sum(rate(${C}webhook_disables_total${W}))` } },
        { title: 'Oldest due', unit: 's', lines: { seconds: `max(${C}webhook_due_age_seconds)` } },
      ],
      'Payments and payouts': [
        {
          title: 'Webhooks of providers',
          unit: 'ops',
          lines: { '{{provider}} {{outcome}}': rate('provider_webhooks_total', 'provider, outcome') },
        },
        {
          title: 'Facts',
          unit: 'ops',
          lines: { '{{outcome}}': rate('provider_facts_total', 'outcome'), waiting: `max(${C}parked_facts)` },
        },
        { title: 'Facts that wait, oldest', unit: 's', lines: { seconds: `max(${C}parked_facts_oldest_seconds)` } },
        { title: 'Payouts', unit: 'ops', lines: { '{{status}}': rate('payouts_total', 'status') } },
        {
          title: 'The bank',
          unit: 'ops',
          lines: { '{{request}} {{outcome}}': rate('bank_requests_total', 'request, outcome') },
        },
        { title: 'Unanswered, oldest', unit: 's', lines: { seconds: `max(${C}payouts_unanswered_oldest_seconds)` } },
      ],
      'The night': [
        {
          title: 'Merchants settled',
          unit: 'ops',
          lines: { '{{outcome}}': rate('settlement_merchants_total', 'outcome') },
        },
        {
          title: 'Steps of settling, p99',
          unit: 's',
          lines: { '{{step}}': quantile(0.99, 'settlement_step_seconds', 'step') },
        },
        {
          title: 'Timers that are late',
          unit: 's',
          lines: { '{{kind}}': `max by (kind) (${C}due_rows_overdue_seconds)` },
        },
        { title: 'Reports', unit: 'ops', lines: { '{{outcome}}': rate('reconciliation_turns_total', 'outcome') } },
        {
          title: 'Open breaks, oldest',
          unit: 's',
          lines: { '{{kind}}': `max by (kind) (${C}breaks_open_oldest_seconds)` },
        },
        { title: 'Duties, p99', unit: 's', lines: { '{{name}}': quantile(0.99, 'job_seconds', 'name') } },
        { title: 'Duties that failed', unit: 'ops', lines: { '{{name}}': rate('job_failures_total', 'name') } },
        { title: 'Open breaks', unit: 'short', lines: { '{{kind}}': `max by (kind) (${C}breaks_open)` } },
      ],
    },
  },
];
