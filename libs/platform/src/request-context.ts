import type { Span } from '@opentelemetry/api';
import { Cost } from './cost.js';
import type { Deadline } from './deadline.js';

/** What every command and query of the platform itself is told about the request that it serves. */
export interface RequestBounds {
  readonly deadline: Deadline;
  /** The request's span; without tracing a no-op that still carries the trace id. */
  readonly span: Span;
  /** What it has touched so far. A worker has one that nobody reads. */
  readonly cost: Cost;
}

/** Of work that no request waits for: all that it does, its SQL included, shows below `span`. */
export function boundsIn(span: Span, deadline: Deadline): RequestBounds {
  return { deadline: deadline.under(span), span, cost: new Cost() };
}

/** The same for a request on behalf of one merchant. */
export interface RequestContext extends RequestBounds {
  /** The tenant: the key's merchant, or the one that an operator acts for. */
  readonly merchantId: bigint;
}
