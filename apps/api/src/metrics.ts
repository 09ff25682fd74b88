import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { BALANCE_CACHE, type BalanceCache } from '#balances/balance-cache.js';
import { addBalanceMetrics } from '#balances/balance-metrics.js';
import { Writer } from '#ledger/writer.js';
import { LogWatch } from '#outbox/log-watch.js';
import { Metrics } from '#platform/metrics.js';
import { Database } from '#platform/postgres.js';
import type { HeldBytes } from './held-bytes.js';
import type { RequestCounts } from './request-counts.js';
import type { UnsentAnswers } from './unsent.js';

/** What the API tells Prometheus. */
export function metricsOf(
  app: NestFastifyApplication,
  {
    requests,
    unsent,
    bodies,
    pipelined,
  }: { requests: RequestCounts; unsent: UnsentAnswers; bodies: HeldBytes; pipelined: HeldBytes },
): Metrics {
  const metrics = new Metrics();
  const writer = app.get(Writer, { strict: false });
  const database = app.get(Database, { strict: false });
  const cache = app.get<BalanceCache | undefined>(BALANCE_CACHE, { strict: false });
  metrics.counter(
    'counterfoil_http_requests_total',
    'Requests answered, by route and class of status; 499 counts as 4xx.',
    () => requests.readings(),
    ['method', 'route', 'status'],
  );
  metrics.gauge(
    'counterfoil_writer_waiting',
    'Postings that wait for their commit group, or for their balances to be told.',
    () => writer.waiting,
  );
  metrics.gauge('counterfoil_database_pool_waiting', 'Who waits for a connection.', () => database.waiting);
  metrics.gauge('counterfoil_http_unsent_bytes', 'Bytes of answers that wait to be taken.', () => unsent.bytes);
  metrics.gauge(
    'counterfoil_http_body_bytes',
    'Bytes of bodies whose requests are not answered yet.',
    () => bodies.bytes,
  );
  metrics.gauge(
    'counterfoil_http_pipelined_bytes',
    'Bytes of requests that wait for the answer before theirs.',
    () => pipelined.bytes,
  );
  const watch = app.get(LogWatch, { strict: false });
  metrics.gauge('counterfoil_event_followers', 'Requests and streams that follow a log.', () => watch.followers);
  metrics.counter('counterfoil_event_polls_total', 'Looks into the log for those who wait.', () => watch.polls);
  if (cache) addBalanceMetrics(metrics, cache);
  return metrics;
}
