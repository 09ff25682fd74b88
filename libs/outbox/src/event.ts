/** An event as it is appended to the log, in the transaction of the change that it tells. */
export interface NewEvent {
  merchantId: bigint;
  type: EventType;
  /** Schema version of `data`; raised with every change of shape. */
  version: number;
  occurredAtMs: number;
  /** W3C traceparent of the request that caused it. */
  traceContext: string | undefined;
  /** JSON text. Amounts and ids are decimal strings. */
  data: string;
}

/** Every type of event there is. */
export const EVENT_TYPES = [
  'account.created',
  'account.closed',
  'transaction.posted',
  'transaction.pending',
  'transaction.voided',
  'transaction.expired',
  'webhook_endpoint.disabled',
] as const;

export type EventType = (typeof EVENT_TYPES)[number];
