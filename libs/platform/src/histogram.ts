import { type Span, TraceFlags } from '@opentelemetry/api';

/** Upper bounds of what takes from half a millisecond to its deadline, in seconds. */
export const SECONDS: readonly number[] = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
];
/** Of what may be late by an outage. */
export const LATE_SECONDS: readonly number[] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800];
/** Of what is put together. */
export const SIZES: readonly number[] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000];

/** One observation, and the trace to look at for why it was as it was. */
export interface Exemplar {
  readonly traceId: string;
  readonly value: number;
  readonly atMs: number;
}

export interface Bucket {
  readonly upTo: number;
  /** Of the buckets before, too. */
  readonly count: number;
  readonly exemplar: Exemplar | undefined;
}

/**
 * How often something was how large, in fixed buckets. An observation costs some 10 ns, and 160 where its trace is sampled
 * (docs/adr/0039); prom-client's own takes thousands, of which most is finding its labels.
 */
export class Histogram {
  readonly #bounds: readonly number[];
  /** Of each bucket by itself; the last is of what is above all bounds. */
  readonly #counts: number[];
  readonly #exemplars: (Exemplar | undefined)[] = [];
  sum = 0;

  constructor(bounds: readonly number[] = SECONDS) {
    this.#bounds = bounds;
    this.#counts = Array(bounds.length + 1).fill(0);
  }

  get count(): number {
    return this.#counts.reduce((sum, count) => sum + count, 0);
  }

  /** `trace`: the span that it was in, not ended yet, or its traceparent. Each bucket keeps the newest that is sampled. */
  observe(value: number, trace?: Span | string): void {
    const bounds = this.#bounds;
    let at = 0;
    while (at < bounds.length && value > (bounds[at] as number)) at += 1;
    this.#counts[at] = (this.#counts[at] as number) + 1;
    this.sum += value;
    const traceId = trace && sampledTraceId(trace);
    if (traceId) this.#exemplars[at] = { traceId, value, atMs: Date.now() };
  }

  /** Runs it and observes its seconds, failed or not. */
  async measure<T>(work: () => Promise<T>, trace?: Span): Promise<T> {
    const startedMs = performance.now();
    try {
      return await work();
    } finally {
      this.observe((performance.now() - startedMs) / 1_000, trace);
    }
  }

  *buckets(): Generator<Bucket> {
    let count = 0;
    for (const [at, own] of this.#counts.entries()) {
      count += own;
      yield { upTo: this.#bounds[at] ?? Infinity, count, exemplar: this.#exemplars[at] };
    }
  }
}

function sampledTraceId(trace: Span | string): string | undefined {
  if (typeof trace === 'string') return trace.endsWith('-01') ? trace.slice(3, 35) : undefined;
  if (!trace.isRecording()) return undefined;
  const { traceId, traceFlags } = trace.spanContext();
  return (traceFlags & TraceFlags.SAMPLED) === 0 ? undefined : traceId;
}
