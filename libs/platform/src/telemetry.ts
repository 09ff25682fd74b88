import { randomFillSync } from 'node:crypto';
import { type Context, context, type Span, SpanKind, SpanStatusCode, TraceFlags, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  type SpanProcessor,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { endSpan, tracer, turnTracingOn } from './tracing.js';

const EXPORT_TIMEOUT_MS = 5_000;
const EXPORT_EVERY_MS = 1_000;
const EXPORT_BATCH = 512;
/** Spans that may wait for a slow collector; more are dropped rather than kept in memory. */
const MAX_WAITING_SPANS = 8_192;

export interface TelemetryOptions {
  /** Undefined: nothing is traced. */
  otlpEndpoint: string | undefined;
  /** Of requests without a traceparent. */
  sampleRatio: number;
  serviceName: string;
  /** Instead of the OTLP exporter, in tests. */
  spanProcessor?: SpanProcessor;
}

/** Traces of this process. Install once, before the first request. */
export class Telemetry {
  readonly #provider: TracerProvider | undefined;

  private constructor(provider: TracerProvider | undefined) {
    this.#provider = provider;
  }

  static start(options: TelemetryOptions): Telemetry {
    if (options.otlpEndpoint === undefined && options.spanProcessor === undefined) return new Telemetry(undefined);
    const provider = new TracerProvider({
      resource: resourceFromAttributes({
        'service.name': options.serviceName,
        'service.instance.id': String(process.pid),
      }),
      sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(options.sampleRatio) }),
      spanProcessors: [options.spanProcessor ?? otlpProcessor(options.otlpEndpoint as string)],
    });
    trace.setGlobalTracerProvider(provider);
    turnTracingOn();
    return new Telemetry(provider);
  }

  get enabled(): boolean {
    return this.#provider !== undefined;
  }

  /**
   * The span of a request, with the caller's trace when `traceparent` is well-formed. Never without a trace id: when nothing
   * is traced it is a no-op that carries the caller's, or a random one. `startedMs` is monotonic.
   */
  startRequest(
    { method, route, path, startedMs }: { method: string; route: string; path: string; startedMs: number },
    traceparent: string | undefined,
  ): Span {
    const parent = traceparent === undefined ? undefined : parseTraceparent(traceparent);
    if (!this.#provider) {
      const traceId = parent ? parent.traceId : randomHex(16);
      return trace.wrapSpanContext({
        traceId,
        spanId: randomHex(8),
        traceFlags: parent?.traceFlags ?? TraceFlags.NONE,
      });
    }
    const parentContext: Context = parent
      ? trace.setSpanContext(context.active(), { ...parent, isRemote: true })
      : context.active();
    return tracer.startSpan(
      `${method} ${route}`,
      {
        kind: SpanKind.SERVER,
        startTime: performance.timeOrigin + startedMs,
        attributes: { 'http.request.method': method, 'http.route': route, 'url.path': path, 'url.scheme': 'http' },
      },
      parentContext,
    );
  }

  endRequest(span: Span, status: number): void {
    if (!span.isRecording()) return;
    span.setAttribute('http.response.status_code', status);
    if (status >= 500) {
      span.setAttribute('error.type', String(status));
      span.setStatus({ code: SpanStatusCode.ERROR });
    }
    endSpan(span);
  }

  /** Sends what is waiting. A collector that cannot be reached costs at most EXPORT_TIMEOUT_MS and no error. */
  async shutdown(): Promise<void> {
    await this.#provider?.shutdown().catch(() => undefined);
  }
}

function otlpProcessor(endpoint: string): SpanProcessor {
  return new BatchSpanProcessor({
    exporter: new OTLPTraceExporter({
      url: `${endpoint.replace(/\/+$/, '')}/v1/traces`,
      timeoutMillis: EXPORT_TIMEOUT_MS,
    }),
    maxQueueSize: MAX_WAITING_SPANS,
    maxExportBatchSize: EXPORT_BATCH,
    scheduledDelayMillis: EXPORT_EVERY_MS,
    exportTimeoutMillis: EXPORT_TIMEOUT_MS,
  });
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

// One call of the random generator serves many requests: the call, not the bytes, is what costs.
const pool = Buffer.alloc(4_096);
let poolOffset = pool.length;

/** Random bytes as hex, never all zero in practice. */
export function randomHex(bytes: number): string {
  if (poolOffset + bytes > pool.length) {
    randomFillSync(pool);
    poolOffset = 0;
  }
  const text = pool.toString('hex', poolOffset, poolOffset + bytes);
  poolOffset += bytes;
  return text;
}
