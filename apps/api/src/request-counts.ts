import type { Labels } from '#platform/metrics.js';

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
