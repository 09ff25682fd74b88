import {
  type Attributes,
  type AttributeValue,
  type HrTime,
  type Link,
  type Span,
  type SpanContext,
  SpanKind,
  type SpanOptions,
  type SpanStatus,
  SpanStatusCode,
  type TimeInput,
  TraceFlags,
} from '@opentelemetry/api';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import { randomHex } from './random-hex.js';
import { ATTRIBUTE } from './span-names.js';

/** Spans of one trace in one process, and whether they are to be exported. */
export interface LocalTrace {
  readonly traceId: string;
  readonly isExported: boolean;
  readonly resource: ReadableSpan['resource'];
  ended(span: RecordedSpan): void;
  /** What was done for it as well shows in that trace: where this one is kept, so is that. */
  leansOn(other: LocalTrace): void;
  keep(): void;
}

/** How a span begins. */
export interface SpanStart extends Omit<SpanOptions, 'attributes'> {
  /** Kept as they are, and not written to; or how to find them once somebody asks. */
  readonly attributes?: Attributes | (() => Attributes);
}

const SCOPE = { name: 'counterfoil' };
const PLAIN: SpanStart = {};
/** Most spans have no links and no events. Never written to. */
const NOTHING: never[] = [];
const UNSET: SpanStatus = { code: SpanStatusCode.UNSET };
/** It does not change while a process runs; asking for it costs as much as the time does. */
const { timeOrigin } = performance;

/**
 * A span as a bare object: every request has a dozen, and of a hundred requests one is asked for what they say (docs/adr/0038). So it only
 * keeps what it is given, and what exporters read is made when they read it.
 */
export class RecordedSpan implements Span, ReadableSpan {
  name: string;
  readonly trace: LocalTrace;
  readonly kind: SpanKind;
  readonly startMs: number;
  status: SpanStatus = UNSET;
  #endMs = 0;
  #isOver = false;
  #spanId: string | undefined;
  readonly #given: Attributes | (() => Attributes) | undefined;
  /** Key, value, key, value: an object of keys that come one by one is a slow one. */
  #told: (string | AttributeValue)[] | undefined;
  /** A span in place of its context: nobody may ever ask for it. */
  #links: (Link | RecordedSpan)[] | undefined;
  #events: ReadableSpan['events'] | undefined;
  readonly #parent: RecordedSpan | SpanContext | undefined;

  constructor(trace: LocalTrace, name: string, parent: RecordedSpan | SpanContext | undefined, start = PLAIN) {
    const { kind, startTime, attributes, links } = start;
    this.trace = trace;
    this.name = name;
    this.kind = kind ?? SpanKind.INTERNAL;
    this.startMs = startTime === undefined ? spanTime() : msOf(startTime);
    this.#given = attributes;
    this.#links = links;
    this.#parent = parent;
  }

  get instrumentationScope(): ReadableSpan['instrumentationScope'] {
    return SCOPE;
  }

  get droppedAttributesCount(): number {
    return 0;
  }

  get droppedEventsCount(): number {
    return 0;
  }

  get droppedLinksCount(): number {
    return 0;
  }

  get resource(): ReadableSpan['resource'] {
    return this.trace.resource;
  }

  /** Those of its own; and whose it is, as of the span that it lies below. */
  get attributes(): Attributes {
    const inherited = this.#parent instanceof RecordedSpan ? this.#parent.attributes[ATTRIBUTE.merchantId] : undefined;
    const attributes: Attributes = inherited === undefined ? {} : { [ATTRIBUTE.merchantId]: inherited };
    Object.assign(attributes, typeof this.#given === 'function' ? this.#given() : this.#given);
    const told = this.#told ?? NOTHING;
    for (let at = 0; at < told.length; at += 2) attributes[told[at] as string] = told[at + 1] as AttributeValue;
    return attributes;
  }

  get links(): Link[] {
    return (
      this.#links?.map((link) => (link instanceof RecordedSpan ? { context: link.spanContext() } : link)) ?? NOTHING
    );
  }

  get events(): ReadableSpan['events'] {
    return this.#events ?? NOTHING;
  }

  get parentSpanContext(): SpanContext | undefined {
    return this.#parent instanceof RecordedSpan ? this.#parent.spanContext() : this.#parent;
  }

  get startTime(): HrTime {
    return hrTime(this.startMs);
  }

  get endTime(): HrTime {
    return hrTime(this.endMs);
  }

  get endMs(): number {
    return this.#isOver ? this.#endMs : this.startMs;
  }

  get duration(): HrTime {
    return hrTime(this.durationMs);
  }

  get durationMs(): number {
    return this.#isOver ? Math.max(0, this.#endMs - this.startMs) : 0;
  }

  get ended(): boolean {
    return this.#isOver;
  }

  get failed(): boolean {
    return this.status.code === SpanStatusCode.ERROR;
  }

  spanContext(): SpanContext {
    this.#spanId ??= randomHex(8);
    const traceFlags = this.trace.isExported ? TraceFlags.SAMPLED : TraceFlags.NONE;
    return { traceId: this.trace.traceId, spanId: this.#spanId, traceFlags };
  }

  isRecording(): boolean {
    return !this.#isOver;
  }

  setAttribute(key: string, value: AttributeValue | undefined): this {
    if (this.#isOver || value === undefined) return this;
    if (this.#told) this.#told.push(key, value);
    else this.#told = [key, value];
    return this;
  }

  setAttributes(attributes: Attributes): this {
    for (const [key, value] of Object.entries(attributes)) this.setAttribute(key, value);
    return this;
  }

  addEvent(name: string, attributesOrTime?: Attributes | TimeInput, time?: TimeInput): this {
    const hasAttributes = isAttributes(attributesOrTime);
    const at = hasAttributes ? time : (attributesOrTime as TimeInput | undefined);
    const attributes = hasAttributes ? attributesOrTime : {};
    if (this.#isOver) return this;
    const event = { name, attributes, time: hrTime(msOf(at)), droppedAttributesCount: 0 };
    this.#events = [...this.events, event];
    return this;
  }

  addLink(link: Link): this {
    return this.addLinks([link]);
  }

  addLinks(links: readonly (Link | RecordedSpan)[]): this {
    if (!this.#isOver) this.#links = this.#links ? [...this.#links, ...links] : [...links];
    return this;
  }

  setStatus(status: SpanStatus): this {
    if (!this.#isOver) this.status = status;
    return this;
  }

  /** Links to the span of another request, below which the work for both is done. */
  shareWorkOf(leader: RecordedSpan): void {
    this.addLinks([leader]);
    this.trace.leansOn(leader.trace);
  }

  updateName(name: string): this {
    if (!this.#isOver) this.name = name;
    return this;
  }

  /** By its class alone: messages and stacks contain values. The log has them, under the same trace id. */
  recordException(exception: unknown): void {
    const type = exception instanceof Error ? exception.name : typeof exception;
    this.addEvent('exception', { [ATTRIBUTE.exceptionType]: type });
  }

  end(endTime?: TimeInput): void {
    if (this.#isOver) return;
    this.#endMs = msOf(endTime);
    this.#isOver = true;
    this.trace.ended(this);
  }
}

/** Now, as milliseconds since 1970 with their fractions. A whole millisecond would have a child begin before its parent. */
export function spanTime(): number {
  return spanTimeAt(performance.now());
}

/** The same of a time that `performance.now` has told. */
export function spanTimeAt(monotonicMs: number): number {
  return timeOrigin + monotonicMs;
}

function isAttributes(value: Attributes | TimeInput | undefined): value is Attributes {
  return typeof value === 'object' && !(value instanceof Date) && !Array.isArray(value);
}

function msOf(time: TimeInput | undefined): number {
  if (time === undefined) return spanTime();
  if (typeof time === 'number') return time;
  return time instanceof Date ? time.getTime() : time[0] * 1_000 + time[1] / 1e6;
}

function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1_000);
  return [seconds, Math.round((ms - seconds * 1_000) * 1e6)];
}
