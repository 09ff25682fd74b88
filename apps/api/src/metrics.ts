import { DiscoveryService } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { type Labels, Metrics } from '#platform/metrics.js';
import { type BringsMetrics, whoHas } from '#platform/room-hooks.js';
import type { HeldBytes, UnsentAnswers } from './held-bytes.js';

/** Requests by method, route and class of status. A route is its pattern, so there are as many counts as routes. */
export class RequestCounts {
  readonly #counts = new Map<string, number>();

  /** `route` undefined: no route of ours; what such a request asked for is the stranger's choice and no label. */
  add(method: string, route: string | undefined, status: number): void {
    const key = `${route === undefined ? 'any' : method} ${route ?? 'none'} ${Math.floor(status / 100)}xx`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
  }

  *readings(): Generator<[Labels, number]> {
    for (const [key, count] of this.#counts) {
      const [method = '', route = '', status = ''] = key.split(' ');
      yield [{ method, route, status }, count];
    }
  }
}

/** What the API tells Prometheus: of its requests, and of the rooms in it. */
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
  metrics.counter(
    'counterfoil_http_requests_total',
    'Requests answered, by route and class of status; 499 counts as 4xx.',
    () => requests.readings(),
    ['method', 'route', 'status'],
  );
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
  for (const room of whoHas<BringsMetrics>(app.get(DiscoveryService), 'addMetrics')) room.addMetrics(metrics);
  return metrics;
}
