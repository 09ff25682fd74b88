import { type Span, SpanKind, SpanStatusCode, TraceFlags, trace } from '@opentelemetry/api';
import { resourceFromAttributes } from '@opentelemetry/resources';
import type { SpanProcessor } from '@opentelemetry/sdk-trace';
import type { Metrics } from './metrics.js';
import { randomHex } from './random-hex.js';
import type { BringsMetrics } from './room-hooks.js';
import { SpanExports } from './span-exports.js';
import { ATTRIBUTE } from './span-names.js';
import { SpanRecorder } from './span-recorder.js';
import { endSpan, recordSpansBy, spanTimeAt } from './tracing.js';

export interface TelemetryOptions {
  /** Undefined: nothing is traced. */
  otlpEndpoint: string | undefined;
  /** Of requests without a traceparent. */
  sampleRatio: number;
  /** Those that take as long are kept all the same, as are those in which something fails. 0 or absent: none for that. */
  slowMs?: number;
  serviceName: string;
  /** Instead of the OTLP exporter, in tests. */
  spanProcessor?: SpanProcessor;
}

export interface StartedRequest {
  readonly method: string;
  readonly route: string;
  /** Asked for when the span is sent. */
  readonly path: () => string;
  /** Monotonic. */
  readonly startedMs: number;
}

/** Traces of this process. Install once, before the first request. */
export class Telemetry implements BringsMetrics {
  readonly #recorder: SpanRecorder | undefined;

  readonly #stop: (() => void) | undefined;

  private constructor(recorder: SpanRecorder | undefined) {
    this.#recorder = recorder;
    this.#stop = recorder && recordSpansBy(recorder);
  }

  static start({ otlpEndpoint, sampleRatio, slowMs = 0, serviceName, spanProcessor }: TelemetryOptions): Telemetry {
    const processor = spanProcessor ?? (otlpEndpoint === undefined ? undefined : new SpanExports(otlpEndpoint));
    if (!processor) return new Telemetry(undefined);
    const resource = resourceFromAttributes({
      'service.name': serviceName,
      'service.instance.id': String(process.pid),
    });
    return new Telemetry(new SpanRecorder({ resource, sampleRatio, slowMs, processor }));
  }

  get enabled(): boolean {
    return this.#recorder !== undefined;
  }

  /**
   * The span of a request, with the caller's trace when `traceparent` is well-formed. Never without a trace id: when nothing
   * is traced it is a no-op that carries the caller's, or a random one.
   */
  startRequest({ method, route, path, startedMs }: StartedRequest, traceparent: string | undefined): Span {
    const parent = traceparent === undefined ? undefined : parseTraceparent(traceparent);
    if (!this.#recorder) {
      const traceId = parent ? parent.traceId : randomHex(16);
      return trace.wrapSpanContext({
        traceId,
        spanId: randomHex(8),
        traceFlags: parent?.traceFlags ?? TraceFlags.NONE,
      });
    }
    return this.#recorder.startRoot(`${method} ${route}`, parent && { ...parent, isRemote: true }, {
      kind: SpanKind.SERVER,
      startTime: spanTimeAt(startedMs),
      attributes: () => ({
        [ATTRIBUTE.httpMethod]: method,
        [ATTRIBUTE.httpRoute]: route,
        [ATTRIBUTE.urlPath]: path(),
        [ATTRIBUTE.urlScheme]: 'http',
      }),
    });
  }

  endRequest(span: Span, status: number): void {
    if (!span.isRecording()) return;
    span.setAttribute(ATTRIBUTE.httpStatus, status);
    if (status >= 500) {
      span.setAttribute(ATTRIBUTE.errorType, String(status));
      span.setStatus({ code: SpanStatusCode.ERROR });
    }
    endSpan(span);
  }

  addMetrics(metrics: Metrics): void {
    const processor = this.#recorder?.options.processor;
    if (!(processor instanceof SpanExports)) return;
    processor.addMetrics(metrics, () => this.#recorder?.lost ?? 0);
  }

  /** Sends what is waiting. A collector that cannot be reached costs at most EXPORT_TIMEOUT_MS and no error. */
  async shutdown(): Promise<void> {
    this.#stop?.();
    await this.#recorder?.options.processor.shutdown().catch(() => undefined);
  }
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** W3C Trace Context, level 1: version ff and ids of zeros are invalid, later versions are read as far as version 00 goes. */
export function parseTraceparent(header: string): { traceId: string; spanId: string; traceFlags: number } | undefined {
  if (header.length > 512) return undefined;
  const match = TRACEPARENT.exec(header.trim());
  if (!match) return undefined;
  const [, version, traceId, spanId, flags, rest] = match as unknown as [
    string,
    string,
    string,
    string,
    string,
    string?,
  ];
  if (version === 'ff' || (version === '00' && rest !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & TraceFlags.SAMPLED };
}
