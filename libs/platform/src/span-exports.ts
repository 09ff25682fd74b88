import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { BatchSpanProcessor, type ReadableSpan, type SpanExporter, type SpanProcessor } from '@opentelemetry/sdk-trace';
import type { Labels, Metrics } from './metrics.js';

export const EXPORT_TIMEOUT_MS = 5_000;
const EXPORT_EVERY_MS = 1_000;
const EXPORT_BATCH = 512;
/** Spans that may wait for a slow collector; more are dropped rather than kept in memory. */
export const MAX_WAITING_SPANS = 8_192;
const SUCCESS = 0;

/** Spans on their way to the collector: sent in batches, beside everything else, and dropped where it does not take them. */
export class SpanExports implements SpanProcessor {
  readonly #batches: BatchSpanProcessor;
  #waiting = 0;
  readonly counts = { exported: 0, dropped: 0, failed: 0 };

  constructor(endpoint: string) {
    const exporter = new OTLPTraceExporter({
      url: `${endpoint.replace(/\/+$/, '')}/v1/traces`,
      timeoutMillis: EXPORT_TIMEOUT_MS,
    });
    this.#batches = new BatchSpanProcessor({
      exporter: this.#counted(exporter),
      maxQueueSize: MAX_WAITING_SPANS,
      maxExportBatchSize: EXPORT_BATCH,
      scheduledDelayMillis: EXPORT_EVERY_MS,
      exportTimeoutMillis: EXPORT_TIMEOUT_MS,
    });
  }

  onStart(): void {}

  onEnd(span: ReadableSpan): void {
    if (this.#waiting >= MAX_WAITING_SPANS) {
      this.counts.dropped += 1;
      return;
    }
    this.#waiting += 1;
    this.#batches.onEnd(span);
  }

  forceFlush(): Promise<void> {
    return this.#batches.forceFlush();
  }

  shutdown(): Promise<void> {
    return this.#batches.shutdown();
  }

  addMetrics(metrics: Metrics, unkept: () => number): void {
    metrics.counter(
      'counterfoil_trace_spans_total',
      'Spans that were sent to the collector, that it did not take, or that were dropped because too many waited.',
      (): [Labels, number][] => [
        [{ outcome: 'exported' }, this.counts.exported],
        [{ outcome: 'failed' }, this.counts.failed],
        [{ outcome: 'dropped' }, this.counts.dropped + unkept()],
      ],
    );
  }

  #counted(exporter: SpanExporter): SpanExporter {
    return {
      export: (spans, done) => {
        this.#waiting -= spans.length;
        exporter.export(spans, (result) => {
          this.counts[result.code === SUCCESS ? 'exported' : 'failed'] += spans.length;
          done(result);
        });
      },
      shutdown: () => exporter.shutdown(),
    };
  }
}
