import { type Span, SpanKind } from '@opentelemetry/api';
import { redisAttributes } from '#platform/span-names.js';
import { endSpan, startChild, step } from '#platform/tracing.js';

const LEASE = 'lease units';

/** That it had to be asked whose key it is: told afterwards, as a request's trace begins once that is known. */
export function authenticated(span: Span, startTime: number): void {
  if (span.isRecording()) endSpan(startChild(span, 'authenticate', { startTime }));
}

/** A request that waits for its merchant's units: Redis is asked for more of them, or has been. */
export function waitForUnits<T>(span: Span, charge: Promise<T>): Promise<T> {
  return step(span, LEASE, { kind: SpanKind.CLIENT, attributes: redisAttributes(LEASE, 1) }, () => charge);
}
