import { expect, it } from 'vitest';
import { keepSpansOfTests } from '../../../test/support/kept-spans.js';
import { RecordedSpan } from './recorded-span.js';
import { linkOnce, startFrom, startIn, traceparentOf } from './tracing.js';

const [OWN, OTHER, THIRD] = ['a', 'b', 'c'].map((id) => `00-${id.repeat(32)}-${id.repeat(16)}-01`) as [
  string,
  string,
  string,
];
keepSpansOfTests(0);

const linkedFrom = (span: unknown) => (span as RecordedSpan).links.map(({ context }) => context.spanId[0]);

it('a step that is tried again links to each trace once, and never to its own', () => {
  const span = startFrom(OWN, 'step');
  linkOnce(span, [OTHER, OTHER, OWN]);
  linkOnce(span, [OTHER, THIRD]);
  expect(linkedFrom(span)).toEqual(['b', 'c']);
  span.end();
  linkOnce(span, [OWN.replaceAll('a', 'd')]);
  expect(linkedFrom(span)).toEqual(['b', 'c']);
});

it('what is done in a trace is below the step that leads to it, or else linked to that', () => {
  const within = startFrom(OWN, 'job');
  const step = traceparentOf(within) as string;
  const parents = [OWN, undefined, OTHER].map((traceparent) => {
    const span = startIn(traceparent, within, 'work', {}) as RecordedSpan;
    return [span.parentSpanContext?.spanId, span.links.map(({ context }) => context.spanId)];
  });
  const [, , stepId] = step.split('-');
  expect(parents).toEqual([
    [stepId, []],
    [stepId, []],
    ['b'.repeat(16), [stepId]],
  ]);
  expect((startIn(OTHER, undefined, 'work') as RecordedSpan).parentSpanContext?.spanId).toBe('b'.repeat(16));
});
