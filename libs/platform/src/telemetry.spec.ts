import { describe, expect, it } from 'vitest';
import { keepSpans } from '../../../test/support/kept-spans.js';
import { SpanReceiver } from '../../../test/support/span-receiver.js';
import { randomHex } from './random-hex.js';
import { parseTraceparent, Telemetry } from './telemetry.js';
import { startChild, traceIdOf, traceparentOf, tracingIsOn } from './tracing.js';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const REQUEST = { method: 'GET', route: '/v1/x', path: () => '/v1/x', startedMs: performance.now() };
const PARENT = `00-${TRACE}-00f067aa0ba902b7-01`;

describe('parseTraceparent', () => {
  it.each([
    [PARENT, TRACE],
    [`01-${TRACE}-00f067aa0ba902b7-01-what-the-future-brings`, TRACE],
    [`ff-${TRACE}-00f067aa0ba902b7-01`, undefined],
    [`00-${'0'.repeat(32)}-00f067aa0ba902b7-01`, undefined],
    [`00-${TRACE}-${'0'.repeat(16)}-01`, undefined],
    [`${PARENT}-more`, undefined],
    [PARENT.toUpperCase(), undefined],
    ['', undefined],
    ['x'.repeat(10_000), undefined],
  ])('%s', (header, traceId) => {
    expect(parseTraceparent(header)?.traceId).toBe(traceId);
  });
});

describe('Telemetry', () => {
  it('has a trace id for every request, also when nothing is traced', () => {
    const off = Telemetry.start({ otlpEndpoint: undefined, sampleRatio: 1, serviceName: 'test' });
    const own = off.startRequest(REQUEST, undefined);
    expect(traceIdOf(own)).toMatch(/^[0-9a-f]{32}$/);
    expect(own.isRecording()).toBe(false);
    const callers = off.startRequest(REQUEST, PARENT);
    expect(traceIdOf(callers)).toBe(TRACE);
    expect(traceIdOf(startChild(callers, 'child'))).toBe(TRACE);
  });

  it("continues the caller's trace, and marks only our own failures as errors", async () => {
    const { exporter, telemetry } = keepSpans(0);
    const unsampled = telemetry.startRequest(REQUEST, undefined);
    expect(traceIdOf(unsampled)).toMatch(/^[0-9a-f]{32}$/);
    expect(traceparentOf(unsampled)).toMatch(/-00$/);
    telemetry.endRequest(unsampled, 422);
    for (const status of [422, 500]) telemetry.endRequest(telemetry.startRequest(REQUEST, PARENT), status);
    const spans = exporter.getFinishedSpans();
    expect(spans.map((span) => [span.name, span.spanContext().traceId, span.status.code])).toEqual([
      ['GET /v1/x', TRACE, 0],
      ['GET /v1/x', TRACE, 2],
    ]);
    await telemetry.shutdown();
  });
});

it('sends what waits for its batch before it ends, and records nothing any more', async () => {
  const receiver = await SpanReceiver.open();
  const telemetry = Telemetry.start({ otlpEndpoint: receiver.url, sampleRatio: 1, serviceName: 'test' });
  telemetry.endRequest(telemetry.startRequest(REQUEST, PARENT), 200);
  expect([tracingIsOn(), receiver.spans]).toEqual([true, []]);
  await telemetry.shutdown();
  expect(tracingIsOn()).toBe(false);
  expect(receiver.spans.map(({ traceId, name }) => [traceId, name])).toEqual([[TRACE, 'GET /v1/x']]);
  await receiver.close();
});

describe('randomHex', () => {
  it('repeats nothing while its pool is filled again and again', () => {
    const seen = new Set(Array.from({ length: 5_000 }, () => randomHex(8)));
    expect(seen.size).toBe(5_000);
  });
});
