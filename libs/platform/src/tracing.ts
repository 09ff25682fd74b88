import {
  type Context,
  context,
  isSpanContextValid,
  type Link,
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

/**
 * Goes on with a step of this process, or of another one or another time, as its W3C traceparent names it. Without one it is a trace of its
 * own.
 */
export function startFrom(origin: Span | string | undefined, name: string, options: SpanOptions = {}): Span {
  return tracer.startSpan(name, { startTime: spanTime(), ...options }, originContext(origin));
}

function originContext(origin: Span | string | undefined): Context {
  if (origin === undefined) return ROOT_CONTEXT;
  return typeof origin === 'string' ? remoteContext(origin) : trace.setSpan(ROOT_CONTEXT, origin);
}

/**
 * In a trace, as its W3C traceparent names it: below `within`, a step that leads to it, where that is in the same trace, and otherwise linked
 * to it.
 */
export function startIn(
  traceparent: string | undefined,
  within: Span | undefined,
  name: string,
  options: SpanOptions = {},
): Span {
  const step = within && traceparentOf(within);
  if (step === undefined) return startFrom(traceparent, name, options);
  if (traceparent === undefined || isOneTrace(traceparent, step)) return startFrom(within, name, options);
  return startFrom(traceparent, name, { ...options, links: [...(options.links ?? []), ...linksTo([step])] });
}

const linked = new WeakMap<Span, Set<string>>();

/** Links a span to those of other traces, to each once: also in a step that is tried again. */
export function linkOnce(span: Span, traceparents: Iterable<string>): void {
  const own = span.isRecording() ? traceparentOf(span) : undefined;
  if (own === undefined) return;
  const known = linked.get(span) ?? new Set<string>();
  linked.set(span, known);
  const others = [...new Set(traceparents)].filter((other) => !known.has(other) && !isOneTrace(other, own));
  for (const other of others) known.add(other);
  if (others.length > 0) span.addLinks(linksTo(others));
}

/** Where many become one. */
export function linksTo(traceparents: Iterable<string>): Link[] {
  return [...traceparents].flatMap((traceparent) => {
    const context = trace.getSpanContext(remoteContext(traceparent));
    return context && isSpanContextValid(context) ? [{ context }] : [];
  });
}

/** Whether whoever made it has sampled its trace. */
export function isSampled(traceparent: string | null | undefined): traceparent is string {
  return traceparent?.endsWith('-01') === true;
}

/** Whether both name one trace. */
export function isOneTrace(one: string, other: string): boolean {
  return one.split('-', 2)[1] === other.split('-', 2)[1];
}

let isOn = false;

/** Of this process: what is asked for spans alone, it need not ask without. */
export function tracingIsOn(): boolean {
  return isOn;
}

export function turnTracingOn(): void {
  isOn = true;
}

export function traceIdOf(span: Span): string | undefined {
  const { traceId } = span.spanContext();
  return traceId === INVALID_TRACE_ID ? undefined : traceId;
}
