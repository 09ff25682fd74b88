import type { Labels, Metrics } from './metrics.js';

/** Upper bounds, in seconds: of what takes milliseconds, and of what reaches its deadline. */
const BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** How long something took, each time, as Prometheus has its histograms: how often up to each bound, how often, and how long in all. */
export class Durations {
  readonly #upTo = BOUNDS.map(() => 0);
  count = 0;
  seconds = 0;

  /** Runs it and counts it, failed or not. */
  async measure<T>(work: () => Promise<T>): Promise<T> {
    const startedMs = performance.now();
    try {
      return await work();
    } finally {
      this.add((performance.now() - startedMs) / 1_000);
    }
  }

  add(seconds: number): void {
    this.count += 1;
    this.seconds += seconds;
    const first = BOUNDS.findIndex((bound) => seconds <= bound);
    for (let at = first; at >= 0 && at < BOUNDS.length; at += 1) this.#upTo[at] = (this.#upTo[at] ?? 0) + 1;
  }

  /** By upper bound, as Prometheus writes it; the last is of all. */
  *buckets(): Generator<[le: string, count: number]> {
    for (const [at, bound] of BOUNDS.entries()) yield [String(bound), this.#upTo[at] ?? 0];
    yield ['+Inf', this.count];
  }
}

/** As `name_bucket`, `name_count` and `name_sum`: what `histogram_quantile` takes. By one label. */
export function addDurations(
  metrics: Metrics,
  { name, what, label }: { name: string; what: string; label: string },
  durations: Readonly<Record<string, Durations>>,
): void {
  const all = Object.entries(durations).map(([value, of]): [Labels, Durations] => [{ [label]: value }, of]);
  metrics.counter(
    `${name}_bucket`,
    `How many ${what} took up to \`le\` seconds.`,
    () => all.flatMap(([labels, of]) => [...of.buckets()].map(([le, count]) => [{ ...labels, le }, count] as const)),
    [label, 'le'],
  );
  metrics.counter(
    `${name}_count`,
    `How many ${what} there were.`,
    () => all.map(([labels, of]) => [labels, of.count]),
    [label],
  );
  metrics.counter(
    `${name}_sum`,
    `How many seconds ${what} took together.`,
    () => all.map(([labels, of]) => [labels, of.seconds]),
    [label],
  );
}
