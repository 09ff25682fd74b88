import {
  type Context,
  context,
  ROOT_CONTEXT,
  type Span,
  type SpanOptions,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';

/**
 * Manual spans on the hot path: full auto-instrumentation doubles a request's CPU. Without a provider (no
 * OTEL_EXPORTER_OTLP_ENDPOINT) every span is the API's no-op.
 */
export const tracer = trace.getTracer('counterfoil');

const INVALID_TRACE_ID = '00000000000000000000000000000000';

/**
 * Now, for starts and ends of spans: milliseconds since 1970 with their fractions. OpenTelemetry's own start is a whole
 * millisecond, and a child would seem to begin before its parent.
 */
export function spanTime(): number {
  return performance.timeOrigin + performance.now();
}

/** A span below `parent`. Explicit rather than through async context: the writer serves many requests at once. */
export function startChild(parent: Span, name: string, options: SpanOptions = {}): Span {
  return tracer.startSpan(name, { startTime: spanTime(), ...options }, contextOf(parent));
}

export function endSpan(span: Span): void {
  span.end(spanTime());
}

/** Ends a span with what went wrong. */
export function failSpan(span: Span, error: unknown): void {
  span.recordException(error instanceof Error ? error : String(error));
  span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.name : String(error) });
  endSpan(span);
}

/** `work` in a span that ends with it, whichever way it ends. */
export async function inSpan<T>(span: Span, work: () => Promise<T>): Promise<T> {
  try {
    const result = await work();
    endSpan(span);
    return result;
  } catch (error) {
    failSpan(span, error);
    throw error;
  }
}

export function contextOf(span: Span): Context {
  return trace.setSpan(context.active(), span);
}

/** W3C traceparent of a span, undefined when nothing is traced. */
export function traceparentOf(span: Span): string | undefined {
  const { traceId, spanId, traceFlags } = span.spanContext();
  if (traceId === INVALID_TRACE_ID) return undefined;
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
}

/** Below a span of another process, as its W3C traceparent names it. */
export function remoteContext(traceparent: string): Context {
  const [, traceId = '', spanId = '', flags = '0'] = traceparent.split('-');
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16),
    isRemote: true,
  });
}

export function traceIdOf(span: Span): string | undefined {
  const { traceId } = span.spanContext();
  return traceId === INVALID_TRACE_ID ? undefined : traceId;
}
