import {
  type Context,
  context,
  INVALID_SPAN_CONTEXT,
  isSpanContextValid,
  type Link,
  ROOT_CONTEXT,
  type Span,
  SpanStatusCode,
  TraceFlags,
  trace,
} from '@opentelemetry/api';
import pg from 'pg';
import { ProblemError } from '#kernel/problem.js';
import { RecordedSpan, type SpanStart, spanTime } from './recorded-span.js';
import { ATTRIBUTE } from './span-names.js';
import type { SpanRecorder } from './span-recorder.js';

export { spanTime, spanTimeAt } from './recorded-span.js';

let recorder: SpanRecorder | undefined;

/** For Telemetry: what begins from now on is recorded. Answers how to end it. */
export function recordSpansBy(one: SpanRecorder): () => void {
  recorder = one;
  return () => {
    if (recorder === one) recorder = undefined;
  };
}

/**
 * Manual spans on the hot path: full auto-instrumentation doubles a request's CPU. Where nothing is traced (no
 * OTEL_EXPORTER_OTLP_ENDPOINT) a span records nothing, and carries its parent's trace id.
 */
export const tracer = {
  startSpan(name: string, start: SpanStart = {}, within: Context = context.active()): Span {
    if (recorder) return recorder.startSpan(name, start, within);
    return trace.wrapSpanContext((start.root ? undefined : trace.getSpanContext(within)) ?? INVALID_SPAN_CONTEXT);
  },
};

const INVALID_TRACE_ID = '00000000000000000000000000000000';

/** A span below `parent`. Explicit rather than through async context: the writer serves many requests at once. */
export function startChild(parent: Span, name: string, start?: SpanStart): Span {
  // Every request has some: without a context for each.
  if (parent instanceof RecordedSpan) return new RecordedSpan(parent.trace, name, parent, start);
  return tracer.startSpan(name, start, contextOf(parent));
}

export function endSpan(span: Span): void {
  span.end(spanTime());
}

/** Ends a span with what went wrong: which error, by its class and code. What it says stands in the log, under the same trace id. */
export function failSpan(span: Span, error: unknown): void {
  if (!span.isRecording()) return;
  span.recordException(error instanceof Error ? error : { name: typeof error });
  span.setAttribute(ATTRIBUTE.errorType, errorTypeOf(error));
  if (error instanceof pg.DatabaseError && error.code) span.setAttribute(ATTRIBUTE.dbStatus, error.code);
  span.setStatus({ code: SpanStatusCode.ERROR });
  endSpan(span);
}

/** A problem's code, the server's or the system's, or the error's class. */
function errorTypeOf(error: unknown): string {
  if (error instanceof ProblemError) return error.code;
  if (!(error instanceof Error)) return typeof error;
  const { code, name } = error as NodeJS.ErrnoException;
  return typeof code === 'string' ? code : name;
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

/** Whether its trace is sent, as far as is known by now. */
export function isSent(span: Span): boolean {
  if (span instanceof RecordedSpan) return span.trace.isExported;
  return (span.spanContext().traceFlags & TraceFlags.SAMPLED) !== 0;
}

/** Where one piece of work is done for several requests: it lies below the leader's span, to which the others' link. */
export function shareWork(span: Span, leader: Span): void {
  if (span instanceof RecordedSpan && leader instanceof RecordedSpan) span.shareWorkOf(leader);
}

/** `work` in a span below `parent`, where that is recorded. */
export function step<T>(
  parent: Span | undefined,
  name: string,
  start: SpanStart,
  work: (span?: Span) => Promise<T>,
): Promise<T> {
  if (!parent?.isRecording()) return work();
  const span = startChild(parent, name, start);
  return inSpan(span, () => work(span));
}

export function contextOf(span: Span): Context {
  return trace.setSpan(context.active(), span);
}

/** W3C traceparent of a span, undefined when nothing is traced. */
export function traceparentOf(span: Span): string | undefined {
  const { traceId, spanId, traceFlags } = span.spanContext();
  if (traceId === INVALID_TRACE_ID) return undefined;
  return `00-${traceId}-${spanId}-0${traceFlags & TraceFlags.SAMPLED}`;
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
export function startFrom(origin: Span | string | undefined, name: string, start?: SpanStart): Span {
  return tracer.startSpan(name, start, originContext(origin));
}

function originContext(origin: Span | string | undefined): Context {
  if (origin === undefined) return ROOT_CONTEXT;
  return typeof origin === 'string' ? remoteContext(origin) : trace.setSpan(ROOT_CONTEXT, origin);
}

/**
 * Begins a trace of its own with what goes on from `origin` and may become too much for its trace. It leads to that. Where it `follows`, that
 * leads to it as well, and it is sent whenever that is.
 */
export function startApart(
  origin: Span | string | undefined,
  name: string,
  start: SpanStart = {},
  { follows = true } = {},
): Span {
  const from = [typeof origin === 'object' ? traceparentOf(origin) : origin].filter(isSampled);
  const isSampledToo = follows && from.length > 0;
  const span = recorder?.startRoot(name, undefined, start, isSampledToo) ?? startFrom(undefined, name);
  linkOnce(span, from);
  if (follows && typeof origin === 'object') linkOnce(origin, [traceparentOf(span)].filter(isSampled));
  return span;
}

/**
 * In a trace, as its W3C traceparent names it: below `within`, a step that leads to it, where that is in the same trace, and otherwise linked
 * to it.
 */
export function startIn(
  traceparent: string | undefined,
  within: Span | undefined,
  name: string,
  start: SpanStart = {},
): Span {
  const step = within && traceparentOf(within);
  if (step === undefined) return startFrom(traceparent, name, start);
  if (traceparent === undefined || isOneTrace(traceparent, step)) return startFrom(within, name, start);
  return startFrom(traceparent, name, { ...start, links: [...(start.links ?? []), ...linksTo([step])] });
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

/** Of this process: what is asked for spans alone, it need not ask without. */
export function tracingIsOn(): boolean {
  return recorder !== undefined;
}

export function traceIdOf(span: Span): string | undefined {
  const { traceId } = span.spanContext();
  return traceId === INVALID_TRACE_ID ? undefined : traceId;
}
