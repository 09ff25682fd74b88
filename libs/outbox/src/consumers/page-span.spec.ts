import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import { expect, it } from 'vitest';
import { ATTRIBUTE } from '#platform/span-names.js';
import { keepSpansOfTests } from '../../../../test/support/kept-spans.js';
import type { LoggedEvent } from './consumer.js';
import { PageSpan } from './page-span.js';
import { ClaimLost } from './position-store.js';

const ERROR = 2;
const exporter = keepSpansOfTests(0);

const traceOf = (place: number) => String(place).padStart(32, '0');
/** Of traces 1 and so on, each of another merchant. */
const eventsOf = (traces: number) =>
  Array.from({ length: traces }, (_, at) => {
    return { merchantId: BigInt(at), traceContext: `00-${traceOf(at + 1)}-${'b'.repeat(16)}-01` } as LoggedEvent;
  });
const pageOf = (traces: number): PageSpan => {
  const page = new PageSpan('apply', 'balances');
  page.about(eventsOf(traces));
  return page;
};
/** By their traces. */
const ended = (): Map<string, ReadableSpan> =>
  new Map(exporter.getFinishedSpans().map((span) => [span.spanContext().traceId, span]));

it('is in the first trace, and leads to ten others, each of which leads to it', async () => {
  await pageOf(13).within(async () => undefined);
  const spans = ended();
  const first = spans.get(traceOf(1)) as ReadableSpan;
  const others = Array.from({ length: 10 }, (_, at) => traceOf(at + 2));
  expect([...spans.keys()].sort()).toEqual([traceOf(1), ...others].sort());
  expect(first.links.map(({ context }) => context.traceId)).toEqual(others);
  for (const trace of others) {
    const links = spans.get(trace)?.links.map(({ context }) => context.spanId);
    expect(links).toEqual([first.spanContext().spanId]);
  }
  for (const { attributes } of spans.values()) expect(attributes[ATTRIBUTE.events]).toBe(13);
});

it('shows in each of its traces that it failed', async () => {
  const failing = pageOf(3).within(() => Promise.reject(new TypeError('a value')));
  await expect(failing).rejects.toThrow(TypeError);
  expect([...ended().values()].map(({ status }) => status.code)).toEqual([ERROR, ERROR, ERROR]);
});

it('has not failed where another process was faster, and says so in each of its traces', async () => {
  const late = pageOf(3).within(() => Promise.reject(new ClaimLost('another process has taken over')));
  await expect(late).rejects.toThrow(ClaimLost);
  const told = [...ended().values()].map(({ status, attributes }) => [status.code, attributes[ATTRIBUTE.outcome]]);
  expect(told).toEqual(Array(3).fill([0, 'claim lost']));
  exporter.reset();
  // Nothing of it is traced: it has no span at all.
  const untraced = pageOf(0).within(() => Promise.reject(new ClaimLost('another process is at work here')));
  await expect(untraced).rejects.toThrow(ClaimLost);
  expect(exporter.getFinishedSpans()).toEqual([]);
});
