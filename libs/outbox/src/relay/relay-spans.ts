import { type Span, SpanKind } from '@opentelemetry/api';
import { sendAttributes } from '#platform/queues.js';
import { endSpan, failSpan, isOneTrace, linksTo, shareWork, startFrom, traceparentOf } from '#platform/tracing.js';
import type { EventBatch } from '../log/position.js';

/** Of a RelayTarget. */
interface Receiver {
  readonly consumer: string;
  readonly destination?: string;
  dispatch(batches: readonly EventBatch[], within?: Span): Promise<void>;
}

/**
 * Hands batches over, each in a span of its own where an event of it is traced: in the trace of the first such event, as the group is
 * which wrote it, and linked to those of the others. What is done for all batches at once, and what `then` does, is below the first span.
 */
export async function handOver<T>(
  target: Receiver,
  batches: readonly EventBatch[],
  then: (within?: Span) => Promise<T>,
): Promise<T> {
  const spans = new Map(batches.flatMap((batch) => (batch.traces[0] ? [[batch, spanOf(target, batch)] as const] : [])));
  const named = batches.map((batch) => {
    const span = spans.get(batch);
    return span ? { ...batch, traceContext: traceparentOf(span) } : batch;
  });
  const [leader, ...others] = spans.values();
  if (leader) for (const other of others) shareWork(other, leader);
  try {
    await target.dispatch(named, leader);
    const result = await then(leader);
    for (const span of spans.values()) endSpan(span);
    return result;
  } catch (error) {
    for (const span of spans.values()) failSpan(span, error);
    throw error;
  }
}

function spanOf({ consumer, destination }: Receiver, { partition, traces, count, isAgain }: EventBatch): Span {
  const [first = '', ...others] = traces;
  return startFrom(first, destination === undefined ? `relay ${consumer}` : `send ${destination}`, {
    kind: destination === undefined ? SpanKind.INTERNAL : SpanKind.PRODUCER,
    links: linksTo(others.filter((other) => !isOneTrace(first, other))),
    attributes: {
      ...(destination !== undefined && sendAttributes(destination)),
      'counterfoil.consumer': consumer,
      'counterfoil.partition': partition,
      'counterfoil.events': count,
      ...(isAgain && { 'counterfoil.again': true }),
    },
  });
}
