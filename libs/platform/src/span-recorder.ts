import { type Context, context, isSpanContextValid, type SpanContext, TraceFlags, trace } from '@opentelemetry/api';
import type { Resource } from '@opentelemetry/resources';
import type { SpanProcessor } from '@opentelemetry/sdk-trace';
import { randomHex } from './random-hex.js';
import { type LocalTrace, RecordedSpan, type SpanStart } from './recorded-span.js';

/** Spans of one trace that may wait for its end; what comes after them is lost. */
const MAX_HELD = 256;
/** Spans of one trace that one process sends; what comes after them is lost, but for the first one of the process, which ends last. */
export const MAX_SENT = 2_048;
/** Traces that are kept though they were not sampled, a second: where everything fails, telling so must not cost what is left. */
const MAX_KEPT_PER_SECOND = 100;
/** What a trace's id decides by, of 32 bits: where its last 56 begin, which OpenTelemetry has be random, whoever drew it. */
const DECIDING = [18, 26] as const;

export interface SpanRecorderOptions {
  readonly resource: Resource;
  /** Of traces that begin here. */
  readonly sampleRatio: number;
  /** A trace whose root takes as long is kept, sampled or not. 0: none for that. */
  readonly slowMs: number;
  readonly processor: SpanProcessor;
}

/**
 * Records every span, and decides once for each trace in this process which are exported: by the caller's sampled flag or the ratio when
 * it begins; else when its root ends, if that was slow or anything in it failed.
 */
export class SpanRecorder {
  readonly #sampledFrom: number;
  #keptSecond = 0;
  #kept = 0;
  /** Spans and traces that were not kept though they would have been: too many. */
  lost = 0;

  constructor(readonly options: SpanRecorderOptions) {
    this.#sampledFrom = (1 - options.sampleRatio) * 2 ** 32;
  }

  startSpan(name: string, start: SpanStart = {}, within: Context = context.active()): RecordedSpan {
    const parent = start.root ? undefined : trace.getSpan(within);
    if (parent instanceof RecordedSpan) return new RecordedSpan(parent.trace, name, parent, start);
    const caller = parent?.spanContext();
    return this.startRoot(name, caller && isSpanContextValid(caller) ? caller : undefined, start);
  }

  /** The first span of a trace in this process; `caller`: whom it lies below; `follows`: it is sampled, whatever the ratio says. */
  startRoot(name: string, caller: SpanContext | undefined, start: SpanStart, follows = false): RecordedSpan {
    const traceId = caller?.traceId ?? randomHex(16);
    const isSampled = follows || (caller ? (caller.traceFlags & TraceFlags.SAMPLED) !== 0 : this.#isDrawn(traceId));
    const trace = isSampled ? new SampledTrace(traceId, this) : new HeldTrace(traceId, this);
    trace.root = new RecordedSpan(trace, name, caller, start);
    return trace.root;
  }

  /** Whether one more trace may be kept in this second. */
  mayKeep(nowMs: number): boolean {
    const second = Math.floor(nowMs / 1_000);
    if (second !== this.#keptSecond) [this.#keptSecond, this.#kept] = [second, 0];
    this.#kept += 1;
    return this.#kept <= MAX_KEPT_PER_SECOND;
  }

  #isDrawn(traceId: string): boolean {
    return Number.parseInt(traceId.slice(...DECIDING), 16) >= this.#sampledFrom;
  }
}

/** Exported span by span. */
class SampledTrace implements LocalTrace {
  root: RecordedSpan | undefined;
  readonly isExported = true;
  #sent = 0;

  constructor(
    readonly traceId: string,
    readonly recorder: SpanRecorder,
  ) {}

  get resource(): Resource {
    return this.recorder.options.resource;
  }

  ended(span: RecordedSpan): void {
    this.#sent += 1;
    if (this.#sent < MAX_SENT || span === this.root) this.recorder.options.processor.onEnd(span);
    else this.recorder.lost += 1;
  }

  leansOn(other: LocalTrace): void {
    other.keep();
  }

  keep(): void {}
}

/** Held until its root ends. What ends later goes the way of the rest. */
class HeldTrace implements LocalTrace {
  root: RecordedSpan | undefined;
  isExported = false;
  #hasFailed = false;
  #isOver = false;
  /** Also of one that was dropped, for as long as somebody leans on it. */
  #held: RecordedSpan[] = [];
  #others: LocalTrace[] | undefined;

  constructor(
    readonly traceId: string,
    readonly recorder: SpanRecorder,
  ) {}

  get resource(): Resource {
    return this.recorder.options.resource;
  }

  ended(span: RecordedSpan): void {
    if (this.isExported) return void this.recorder.options.processor.onEnd(span);
    this.#hasFailed ||= span.failed && !this.#isOver;
    if (this.#held.length < MAX_HELD || span === this.root) this.#held.push(span);
    else this.recorder.lost += 1;
    if (span === this.root) this.#decide(span);
  }

  leansOn(other: LocalTrace): void {
    if (this.isExported) other.keep();
    else if (this.#others) this.#others.push(other);
    else this.#others = [other];
  }

  keep(): void {
    if (this.isExported) return;
    this.isExported = true;
    for (const span of this.#held) this.recorder.options.processor.onEnd(span);
    this.#held = [];
    for (const other of this.#others ?? []) other.keep();
  }

  #decide(root: RecordedSpan): void {
    const { slowMs } = this.recorder.options;
    this.#isOver = true;
    const isSlow = slowMs > 0 && root.durationMs >= slowMs;
    if (!this.#hasFailed && !isSlow) return;
    // Those that end together may have begun in any seconds, and would begin the count of one again and again.
    if (this.recorder.mayKeep(root.endMs)) this.keep();
    else this.recorder.lost += this.#held.length;
  }
}
