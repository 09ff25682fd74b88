import { DiscoveryService } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { Histogram } from '#platform/histogram.js';
import { type Labels, Metrics } from '#platform/metrics.js';
import { type BringsMetrics, whoHas } from '#platform/room-hooks.js';
import type { HeldBytes, UnsentAnswers } from './held-bytes.js';
import type { RequestState } from './request.js';

/** How long requests took by method, route and class of status. A route is its pattern, so there are as many as routes. */
export class RequestTimes {
  readonly #times = new Map<string, Histogram>();

  /**
   * `route` undefined: no route of ours; what such a request asked for is the stranger's choice and no label. `span`: the request's, not
   * ended yet.
   */
  add(method: string, route: string | undefined, status: number, { span, startedMs }: RequestState): void {
    const key = `${route === undefined ? 'any' : method} ${route ?? 'none'} ${Math.floor(status / 100)}xx`;
    let times = this.#times.get(key);
    if (!times) {
      times = new Histogram();
      this.#times.set(key, times);
    }
    times.observe((performance.now() - startedMs) / 1_000, span);
  }

  *readings(): Generator<[Labels, Histogram]> {
    for (const [key, times] of this.#times) {
      const [method = '', route = '', status = ''] = key.split(' ');
      yield [{ method, route, status }, times];
    }
  }
}

/** What the API tells Prometheus: of its requests, and of the rooms in it. */
export function metricsOf(
  app: NestFastifyApplication,
  {
    requests,
    inHand,
    unsent,
    bodies,
    pipelined,
  }: { requests: RequestTimes; inHand: () => number; unsent: UnsentAnswers; bodies: HeldBytes; pipelined: HeldBytes },
): Metrics {
  const metrics = new Metrics();
  metrics.counter(
    'counterfoil_http_requests_total',
    'Requests answered, by route and class of status; 499 counts as 4xx.',
    () => [...requests.readings()].map(([labels, times]) => [labels, times.count] as const),
  );
  metrics.histogram('counterfoil_http_request_seconds', 'How long they took, until the client had its answer.', () =>
    requests.readings(),
  );
  metrics.gauge('counterfoil_http_requests_in_hand', 'Requests that are not answered yet.', inHand);
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
