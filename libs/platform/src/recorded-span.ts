import {
  type Attributes,
  type AttributeValue,
  type HrTime,
  type Link,
  type Span,
  type SpanContext,
  SpanKind,
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

export interface SpanParts {
  name: string;
  kind?: SpanKind | undefined;
  startTime?: TimeInput | undefined;
  attributes?: Attributes | undefined;
  links?: Link[] | undefined;
  parent?: RecordedSpan | SpanContext | undefined;
}

const SCOPE = { name: 'counterfoil' };
/** Most spans have no links and no events. Never written to. */
const NOTHING: never[] = [];
const UNSET: SpanStatus = { code: SpanStatusCode.UNSET };

/**
 * A span as a bare object: the SDK's own costs 1.7 µs, this one 0.2, and every request has a dozen, sampled or not (docs/adr/0038).
 * What exporters ask for is made when they ask.
 */
export class RecordedSpan implements Span, ReadableSpan {
  name: string;
  readonly kind: SpanKind;
  links: Link[];
  events: ReadableSpan['events'] = NOTHING;
  readonly instrumentationScope = SCOPE;
  readonly droppedAttributesCount = 0;
  readonly droppedEventsCount = 0;
  readonly droppedLinksCount = 0;
  readonly startMs: number;
  status: SpanStatus = UNSET;
  #endMs: number | undefined;
  #spanId: string | undefined;
  readonly #attributes: Attributes;
  readonly #parent: RecordedSpan | SpanContext | undefined;

  constructor(
    readonly trace: LocalTrace,
    { name, kind = SpanKind.INTERNAL, startTime, attributes, links, parent }: SpanParts,
  ) {
    this.name = name;
    this.kind = kind;
    this.startMs = msOf(startTime);
    this.#attributes = attributes ? { ...attributes } : {};
    this.links = links ?? NOTHING;
    this.#parent = parent;
  }

  get resource(): ReadableSpan['resource'] {
    return this.trace.resource;
  }

  /** Those of its own; and whose it is, as of the span that it lies below. */
  get attributes(): Attributes {
    if (ATTRIBUTE.merchantId in this.#attributes) return this.#attributes;
    const inherited = this.#parent instanceof RecordedSpan ? this.#parent.attributes[ATTRIBUTE.merchantId] : undefined;
    return inherited === undefined ? this.#attributes : { [ATTRIBUTE.merchantId]: inherited, ...this.#attributes };
  }

  get parentSpanContext(): SpanContext | undefined {
    return this.#parent instanceof RecordedSpan ? this.#parent.spanContext() : this.#parent;
  }

  get startTime(): HrTime {
    return hrTime(this.startMs);
  }

  get endTime(): HrTime {
    return hrTime(this.#endMs ?? this.startMs);
  }

  get duration(): HrTime {
    return hrTime(this.durationMs);
  }

  get durationMs(): number {
    return Math.max(0, (this.#endMs ?? this.startMs) - this.startMs);
  }

  get ended(): boolean {
    return this.#endMs !== undefined;
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
    return this.#endMs === undefined;
  }

  setAttribute(key: string, value: AttributeValue | undefined): this {
    if (!this.ended && value !== undefined) this.#attributes[key] = value;
    return this;
  }

  setAttributes(attributes: Attributes): this {
    if (!this.ended) Object.assign(this.#attributes, attributes);
    return this;
  }

  addEvent(name: string, attributesOrTime?: Attributes | TimeInput, time?: TimeInput): this {
    const hasAttributes = isAttributes(attributesOrTime);
    const at = hasAttributes ? time : (attributesOrTime as TimeInput | undefined);
    const attributes = hasAttributes ? attributesOrTime : {};
    if (this.ended) return this;
    const event = { name, attributes, time: hrTime(msOf(at)), droppedAttributesCount: 0 };
    this.events = [...this.events, event];
    return this;
  }

  addLink(link: Link): this {
    if (!this.ended) this.links = [...this.links, link];
    return this;
  }

  addLinks(links: Link[]): this {
    for (const link of links) this.addLink(link);
    return this;
  }

  setStatus(status: SpanStatus): this {
    if (!this.ended) this.status = status;
    return this;
  }

  /** Links to the span of another request, below which the work for both is done. */
  shareWorkOf(leader: RecordedSpan): void {
    this.addLink({ context: leader.spanContext() });
    this.trace.leansOn(leader.trace);
  }

  updateName(name: string): this {
    if (!this.ended) this.name = name;
    return this;
  }

  /** By its class alone: messages and stacks contain values. The log has them, under the same trace id. */
  recordException(exception: unknown): void {
    const type = exception instanceof Error ? exception.name : typeof exception;
    this.addEvent('exception', { [ATTRIBUTE.exceptionType]: type });
  }

  end(endTime?: TimeInput): void {
    if (this.ended) return;
    this.#endMs = msOf(endTime);
    this.trace.ended(this);
  }
}

/** Now, as milliseconds since 1970 with their fractions. A whole millisecond would have a child begin before its parent. */
export function spanTime(): number {
  return performance.timeOrigin + performance.now();
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
