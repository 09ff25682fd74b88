import { type Span, trace } from '@opentelemetry/api';
import { emptyResource } from '@opentelemetry/resources';
import { InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace';
import { beforeEach, describe, expect, it } from 'vitest';
import { RecordedSpan, spanTime } from './recorded-span.js';
import { MAX_SENT, SpanRecorder } from './span-recorder.js';
import { failSpan, remoteContext } from './tracing.js';

const exporter = new InMemorySpanExporter();
const processor = new SimpleSpanProcessor({ exporter });
const SLOW_MS = 50;
beforeEach(() => exporter.reset());

const recorderOf = (sampleRatio: number) =>
  new SpanRecorder({ resource: emptyResource(), sampleRatio, slowMs: SLOW_MS, processor });
const below = (parent: Span) => trace.setSpan(trace.deleteSpan(remoteContext(CALLER)), parent);
const exported = () => exporter.getFinishedSpans().map(({ name }) => name);
const CALLER = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-00`;

/** A trace of three: what is over is told at its times. */
function traced(recorder: SpanRecorder, { tookMs = 1, fails = false, caller = undefined as string | undefined } = {}) {
  const startTime = spanTime();
  const root = recorder.startSpan('root', { startTime }, caller === undefined ? undefined : remoteContext(caller));
  const step = recorder.startSpan('step', { startTime }, below(root));
  const query = recorder.startSpan('query', { startTime }, below(step));
  if (fails) failSpan(query, new Error('a value'));
  else query.end(startTime + tookMs);
  step.end(startTime + tookMs);
  root.end(startTime + tookMs);
  return { root, step, query };
}

describe('which traces are exported', () => {
  it('all of a ratio of 1, span by span', () => {
    const root = recorderOf(1).startSpan('root');
    recorderOf(1).startSpan('step', {}, below(root)).end();
    expect(exported()).toEqual(['step']);
    expect(root.spanContext().traceFlags).toBe(1);
  });

  it('of a ratio between those whose ids say so, as in every process', () => {
    const recorder = recorderOf(0.25);
    const contexts = Array.from({ length: 4_000 }, () => recorder.startSpan('root').spanContext());
    // OpenTelemetry: where the last 56 bits are at least (1 - ratio) * 2^56.
    for (const { traceId, traceFlags } of contexts)
      expect(traceFlags === 1).toBe(traceId.slice(18) >= `c${'0'.repeat(13)}`);
    const sampled = contexts.filter(({ traceFlags }) => traceFlags === 1).length;
    expect(sampled).toBeGreaterThan(800);
    expect(sampled).toBeLessThan(1_200);
  });

  it('none of a ratio of 0 that goes well', () => {
    const { root } = traced(recorderOf(0), { tookMs: SLOW_MS - 1 });
    expect(root.spanContext().traceFlags).toBe(0);
    expect(exported()).toEqual([]);
  });

  it('the whole of one whose root was slow, and of one in which a step failed', () => {
    for (const how of [{ tookMs: SLOW_MS }, { fails: true }]) {
      exporter.reset();
      const { root, step } = traced(recorderOf(0), how);
      expect(exported()).toEqual(['query', 'step', 'root']);
      expect(step.parentSpanContext?.spanId).toBe(root.spanContext().spanId);
    }
  });

  it("by the caller's flag, and for what went wrong here all the same", () => {
    traced(recorderOf(1), { caller: CALLER });
    expect(exported()).toEqual([]);
    const { root } = traced(recorderOf(0), { caller: CALLER.replace(/00$/, '01') });
    expect(root.parentSpanContext).toMatchObject({ traceId: 'a'.repeat(32), spanId: 'b'.repeat(16) });
    traced(recorderOf(0), { caller: CALLER, fails: true });
    expect(exported()).toHaveLength(6);
  });

  it('of a trace without an end so many spans and its root, which tells how long it took', () => {
    const recorder = recorderOf(1);
    const root = recorder.startSpan('root');
    for (let at = 0; at < MAX_SENT + 5; at += 1) recorder.startSpan('step', {}, below(root)).end();
    root.end();
    expect([exported().length, exported().at(-1), recorder.lost]).toEqual([MAX_SENT, 'root', 6]);
  });

  it('what ends behind its root as the root was', () => {
    for (const [tookMs, kept] of [
      [1, 0],
      [SLOW_MS, 2],
    ] as const) {
      exporter.reset();
      const recorder = recorderOf(0);
      const startTime = spanTime();
      const root = recorder.startSpan('root', { startTime });
      const late = recorder.startSpan('late', { startTime }, below(root));
      root.end(startTime + tookMs);
      late.end();
      expect(exported()).toHaveLength(kept);
    }
  });

  it('also the one that did the work for one that is kept, however it went itself', () => {
    const recorder = recorderOf(0);
    const startTime = spanTime();
    const [quick, slow] = ['quick', 'slow'].map((name) => recorder.startSpan(name, { startTime })) as [
      RecordedSpan,
      RecordedSpan,
    ];
    const work = recorder.startSpan('work', { startTime }, below(quick));
    const waits = recorder.startSpan('waits', { startTime }, below(slow));
    waits.shareWorkOf(work);
    for (const span of [work, quick, waits]) span.end(startTime + 1);
    expect(exported()).toEqual([]);
    slow.end(startTime + SLOW_MS);
    expect(exported().sort()).toEqual(['quick', 'slow', 'waits', 'work']);
    expect(waits.links.map(({ context }) => context.spanId)).toEqual([work.spanContext().spanId]);
  });

  it('of a flood of failures a hundred a second, of those that were sampled all', () => {
    const recorder = recorderOf(0);
    for (let at = 0; at < 1_000; at += 1) traced(recorder, { fails: true });
    const kept = exported().length / 3;
    expect(kept).toBeGreaterThanOrEqual(100);
    expect(kept).toBeLessThanOrEqual(300);
    expect(recorder.lost).toBe(3_000 - kept * 3);
    exporter.reset();
    const sampled = recorderOf(1);
    for (let at = 0; at < 1_000; at += 1) traced(sampled, { fails: true });
    expect(exported()).toHaveLength(3_000);
  });

  it('no more of those that end together and began in different seconds', () => {
    const recorder = recorderOf(0);
    const endMs = 1_000_000;
    for (let at = 0; at < 1_000; at += 1) {
      const startTime = endMs - 1_000 * (1 + (at % 2));
      recorder.startSpan('root', { startTime }).end(endMs);
    }
    expect(exported()).toHaveLength(100);
    expect(recorder.lost).toBe(900);
    recorder.startSpan('root', { startTime: endMs }).end(endMs + 1_000);
    expect(exported()).toHaveLength(101);
  });

  it('not more than a bounded number of spans of one that is held, its root among them', () => {
    const recorder = recorderOf(0);
    const root = recorder.startSpan('root');
    for (let at = 0; at < 1_000; at += 1) recorder.startSpan('step', {}, below(root)).end();
    failSpan(root, new Error('late'));
    expect(exported()).toHaveLength(257);
    expect(exported().at(-1)).toBe('root');
    expect(recorder.lost).toBe(744);
  });
});

describe('a recorded span', () => {
  it('is of the merchant of the span that it lies below', () => {
    const recorder = recorderOf(1);
    const root = recorder.startSpan('root');
    const query = recorder.startSpan('query', {}, below(recorder.startSpan('step', {}, below(root))));
    expect(query.attributes).toEqual({});
    root.setAttribute('counterfoil.merchant_id', '7');
    expect(query.attributes).toEqual({ 'counterfoil.merchant_id': '7' });
  });

  it('is asked what it says once it is sent, and says the newest', () => {
    let asked = 0;
    const attributes = () => ({ at: ++asked, of: 'start' });
    for (const failing of [false, true]) {
      expect(asked).toBe(0);
      const span = recorderOf(0).startSpan('root', { attributes });
      span.setAttribute('of', 'once').setAttributes({ of: 'twice', more: 1 }).setAttribute('none', undefined);
      if (failing) failSpan(span, new Error('late'));
      else span.end();
    }
    expect(exporter.getFinishedSpans().map((span) => span.attributes)).toMatchObject([{ of: 'twice', more: 1 }]);
    expect(asked).toBe(1);
  });

  it('tells an error by its class and code, never by what it says', () => {
    const span = recorderOf(1).startSpan('query');
    failSpan(span, Object.assign(new TypeError('a secret'), { code: 'EPIPE' }));
    expect(span.attributes).toEqual({ 'error.type': 'EPIPE' });
    expect(span.events).toMatchObject([{ name: 'exception', attributes: { 'exception.type': 'TypeError' } }]);
    expect(span.status).toEqual({ code: 2 });
    expect(exported()).toEqual(['query']);
  });

  it('is over when it has ended, once', () => {
    const span = recorderOf(1).startSpan('once', { startTime: 1_000.25 });
    span.end(1_002.5);
    span.setAttribute('late', 1).setStatus({ code: 2 }).addEvent('late').updateName('late').end(9_000);
    expect([span.name, span.attributes, span.status.code, span.events]).toEqual(['once', {}, 0, []]);
    expect([span.startTime, span.endTime, span.duration]).toEqual([
      [1, 250_000],
      [1, 2_500_000],
      [0, 2_250_000],
    ]);
    expect(exported()).toEqual(['once']);
    expect(span).toBeInstanceOf(RecordedSpan);
  });
});
