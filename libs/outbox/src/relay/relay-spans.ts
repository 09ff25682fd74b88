import { type Span, SpanKind } from '@opentelemetry/api';
import { sendAttributes } from '#platform/queues.js';
import { endSpan, failSpan, isOneTrace, linksTo, startFrom, traceparentOf } from '#platform/tracing.js';
import type { EventBatch } from '../log/position.js';

/** Of a RelayTarget. */
interface Receiver {
  readonly consumer: string;
  readonly destination?: string;
  dispatch(batches: readonly EventBatch[]): Promise<void>;
}

/**
 * Hands batches over, each in a span of its own where an event of it is traced: in the trace of the first such event, as the group is
 * which wrote it, and linked to those of the others.
 */
export async function handOver(target: Receiver, batches: readonly EventBatch[]): Promise<void> {
  const spans = new Map(batches.flatMap((batch) => (batch.traces[0] ? [[batch, spanOf(target, batch)] as const] : [])));
  const named = batches.map((batch) => {
    const span = spans.get(batch);
    return span ? { ...batch, traceContext: traceparentOf(span) } : batch;
  });
  try {
    await target.dispatch(named);
  } catch (error) {
    for (const span of spans.values()) failSpan(span, error);
    throw error;
  }
  for (const span of spans.values()) endSpan(span);
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
