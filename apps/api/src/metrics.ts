import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import { BALANCE_CACHE, type BalanceCache } from '#balances/balance-cache.js';
import { addBalanceMetrics } from '#balances/balance-metrics.js';
import { notFound } from '#kernel/problem.js';
import { Writer } from '#ledger/writer.js';
import { LogWatch } from '#outbox/log-watch.js';
import type { Config } from '#platform/config.js';
import type { Logger } from '#platform/logging.js';
import { Metrics, ScrapeGate } from '#platform/metrics.js';
import { Database } from '#platform/postgres.js';
import type { RouteAccess } from './documented.js';
import { sendProblem } from './problems.js';
import type { RequestCounts } from './request-counts.js';
import type { UnsentAnswers } from './unsent.js';

/** `GET /metrics` for Prometheus. For all but METRICS_ALLOW there is no such route. */
export function serveMetrics(
  app: NestFastifyApplication,
  {
    config,
    logger,
    requests,
    unsent,
  }: { config: Config; logger: Logger; requests: RequestCounts; unsent: UnsentAnswers },
): void {
  const gate = new ScrapeGate(config.metricsAllow);
  // Made by the first scrape: who is never asked measures nothing.
  let metrics: Metrics | undefined;
  const access: RouteAccess = { access: 'public' };
  const fastify = app.getHttpAdapter().getInstance() as unknown as FastifyInstance;
  fastify.get('/metrics', { config: access }, async (request, reply) => {
    if (!gate.admits(request.raw.socket.remoteAddress, request.headers)) {
      sendProblem(logger, notFound('route'), request, reply);
      return reply;
    }
    metrics ??= metricsOf(app, requests, unsent);
    return reply.type(metrics.contentType).send(await metrics.text());
  });
}

function metricsOf(app: NestFastifyApplication, requests: RequestCounts, unsent: UnsentAnswers): Metrics {
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
  const watch = app.get(LogWatch, { strict: false });
  metrics.gauge('counterfoil_event_followers', 'Requests and streams that follow a log.', () => watch.followers);
  metrics.counter('counterfoil_event_polls_total', 'Looks into the log for those who wait.', () => watch.polls);
  if (cache) addBalanceMetrics(metrics, cache);
  return metrics;
}
