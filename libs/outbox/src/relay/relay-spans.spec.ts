import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import { expect, it } from 'vitest';
import { traceparentOf } from '#platform/tracing.js';
import { keepSpansOfTests } from '../../../../test/support/kept-spans.js';
import { BEGINNING, type EventBatch } from '../log/position.js';
import { handOver } from './relay-spans.js';

const ERROR = 2;
const exporter = keepSpansOfTests(0);

const parentOf = (trace: string) => `00-${trace.repeat(32)}-${trace.repeat(16)}-01`;
/** Of a partition, with events of these traces. */
const batchOf = (partition: number, ...traces: string[]): EventBatch => ({
  partition,
  after: BEGINNING,
  through: { xid: 9n, seq: 9n },
  count: traces.length,
  isAgain: false,
  traces: traces.map(parentOf),
});
const BATCHES = [batchOf(1, 'a', 'a', 'b'), batchOf(2), batchOf(3, 'c')];
const receiver = (dispatch: (batches: readonly EventBatch[]) => Promise<void>) => ({ consumer: 'webhooks', dispatch });
const linkedFrom = ({ links }: ReadableSpan) => links.map(({ context }) => context.spanId);

it('hands over each batch in its first event’s trace, which leads to those of its others and to the batch done with it', async () => {
  const handed: EventBatch[] = [];
  const result = await handOver(
    receiver(async (batches) => void handed.push(...batches)),
    BATCHES,
    async (leader) => leader && traceparentOf(leader),
  );
  const [first, third] = exporter.getFinishedSpans() as [ReadableSpan, ReadableSpan];
  expect(exporter.getFinishedSpans().map(({ attributes }) => attributes['counterfoil.partition'])).toEqual([1, 3]);
  expect([first, third].map(({ parentSpanContext }) => parentSpanContext?.spanId)).toEqual([
    'a'.repeat(16),
    'c'.repeat(16),
  ]);
  expect(linkedFrom(first)).toEqual(['b'.repeat(16)]);
  expect(linkedFrom(third)).toEqual([first.spanContext().spanId]);
  const [one, other] = [first, third].map((span) => traceparentOf({ spanContext: () => span.spanContext() } as never));
  expect(handed.map(({ traceContext }) => traceContext)).toEqual([one, undefined, other]);
  expect(result).toBe(one);
});

it.each(['dispatched', 'moved on'])('shows in the trace of each batch that it could not be %s', async (step) => {
  const failing = () => Promise.reject(new TypeError('a value'));
  const isDispatch = step === 'dispatched';
  const handing = handOver(receiver(isDispatch ? failing : async () => undefined), BATCHES, failing);
  await expect(handing).rejects.toThrow(TypeError);
  expect(exporter.getFinishedSpans().map(({ status }) => status.code)).toEqual([ERROR, ERROR]);
});
