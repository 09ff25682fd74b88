import {
  type Context,
  context,
  isSpanContextValid,
  ROOT_CONTEXT,
  type SpanOptions,
  TraceFlags,
  trace,
} from '@opentelemetry/api';
import type { Resource } from '@opentelemetry/resources';
import { SamplingDecision, type SpanProcessor, TraceIdRatioBasedSampler } from '@opentelemetry/sdk-trace';
import { randomHex } from './random-hex.js';
import { type LocalTrace, RecordedSpan } from './recorded-span.js';

/** Spans of one trace that may wait for its end; what comes after them is lost. */
const MAX_HELD = 256;
/** Spans of one trace that one process sends; what comes after them is lost, but for the first one of the process, which ends last. */
export const MAX_SENT = 2_048;
/** Traces that are kept though they were not sampled, a second: where everything fails, telling so must not cost what is left. */
const MAX_KEPT_PER_SECOND = 100;

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
  readonly #sampler: TraceIdRatioBasedSampler;
  #keptSecond = 0;
  #kept = 0;
  /** Spans and traces that were not kept though they would have been: too many. */
  lost = 0;

  constructor(readonly options: SpanRecorderOptions) {
    this.#sampler = new TraceIdRatioBasedSampler(options.sampleRatio);
  }

  startSpan(name: string, { root, ...rest }: SpanOptions = {}, within: Context = context.active()): RecordedSpan {
    const parent = root ? undefined : trace.getSpan(within);
    if (parent instanceof RecordedSpan) return new RecordedSpan(parent.trace, { ...rest, name, parent });
    const caller = parent?.spanContext();
    if (caller === undefined || !isSpanContextValid(caller)) return this.startTrace(name, rest, false);
    const isSampled = (caller.traceFlags & TraceFlags.SAMPLED) !== 0;
    return this.#begin(caller.traceId, isSampled, { ...rest, name, parent: caller });
  }

  /** The first span of a trace, which is sampled where it has to be, and else by the ratio. */
  startTrace(name: string, options: SpanOptions, isSampled: boolean): RecordedSpan {
    const traceId = randomHex(16);
    return this.#begin(traceId, isSampled || this.#isSampled(traceId), { ...options, name });
  }

  /** Whether one more trace may be kept in this second. */
  mayKeep(nowMs: number): boolean {
    const second = Math.floor(nowMs / 1_000);
    if (second !== this.#keptSecond) [this.#keptSecond, this.#kept] = [second, 0];
    this.#kept += 1;
    return this.#kept <= MAX_KEPT_PER_SECOND;
  }

  #begin(traceId: string, isSampled: boolean, parts: ConstructorParameters<typeof RecordedSpan>[1]): RecordedSpan {
    const trace = isSampled ? new SampledTrace(traceId, this) : new HeldTrace(traceId, this);
    const root = new RecordedSpan(trace, parts);
    trace.root = root;
    return root;
  }

  #isSampled(traceId: string): boolean {
    const { decision } = this.#sampler.shouldSample(ROOT_CONTEXT, traceId);
    return decision === SamplingDecision.RECORD_AND_SAMPLED;
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
  readonly #others = new Set<LocalTrace>();

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
    else this.#others.add(other);
  }

  keep(): void {
    if (this.isExported) return;
    this.isExported = true;
    for (const span of this.#held) this.recorder.options.processor.onEnd(span);
    this.#held = [];
    for (const other of this.#others) other.keep();
  }

  #decide(root: RecordedSpan): void {
    const { slowMs } = this.recorder.options;
    this.#isOver = true;
    const isSlow = slowMs > 0 && root.durationMs >= slowMs;
    if (!this.#hasFailed && !isSlow) return;
    if (this.recorder.mayKeep(root.startMs)) this.keep();
    else this.recorder.lost += this.#held.length;
  }
}
