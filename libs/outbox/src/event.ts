import type { EventType } from './catalogue.js';

/** An event as it is appended to the log, in the transaction of the change that it tells. */
export interface NewEvent {
  merchantId: bigint;
  type: EventType;
  /** Schema version of `data`: the catalogue's current one. */
  version: number;
  occurredAtMs: number;
  /** W3C traceparent of the request that caused it. */
  traceContext: string | undefined;
  /** JSON text. Amounts and ids are decimal strings. */
  data: string;
}
