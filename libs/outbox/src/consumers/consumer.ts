import type { TransactionClient } from '#platform/postgres.js';

/** An event as the log holds it. Within a merchant, (xid, seq) is the order in which changes were committed. */
export interface LoggedEvent {
  readonly merchantId: bigint;
  readonly xid: bigint;
  readonly seq: bigint;
  readonly type: string;
  /** Schema version of `data` at the time of writing: possibly an older one than today's, or one from a newer build. */
  readonly version: number;
  readonly occurredAtMs: number;
  /** W3C traceparent of the request that caused it. */
  readonly traceContext: string | undefined;
  /** JSON text. */
  readonly data: string;
}

/**
 * What applies events to tables of its own; a new one begins with all that the log has. It is called with events in the
 * log's order, all of one partition, in a transaction whose scope is exactly their merchants; it must not commit, and must
 * have no effect outside of the transaction, because a batch that fails is rolled back and tried again, as a whole or event
 * by event.
 */
export interface Consumer {
  /** Never changes: durable positions are kept under it. */
  readonly name: string;
  /**
   * What an event that keeps failing holds up: `event`: itself alone, where later events do not build on earlier ones;
   * `stream`: all later events of its merchant, which wait until it is redriven or discarded.
   */
  readonly failureScope: 'event' | 'stream';
  apply(client: TransactionClient, events: readonly LoggedEvent[], leaves: Leaves): Promise<void>;
}

/** Called with merchants for whom something is left to be done, of which others are told once it is committed (HearsApplied). */
export type Leaves = (merchantIds: readonly bigint[]) => void;

/** An event that no further try will help, such as one of a version from the future: it is dead-lettered at once. */
export class Unprocessable extends Error {
  override name = 'Unprocessable';
}
