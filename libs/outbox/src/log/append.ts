import { int2Array, int8Array, textArray, timestamptzArray } from '#platform/binary-array.js';
import type { TransactionClient } from '#platform/postgres.js';
import { currentVersion, type EventData, type EventType } from './catalogue.js';

/**
 * The one way into the event log. Each merchant's events are to stand in the order in which they were committed. They are
 * ordered by their transactions' xids, and a transaction gets its xid with the first row that it writes or locks, long before it
 * commits: one that then waited could be overtaken there by one of a higher xid. So whoever appends takes the merchant's lock
 * first and keeps it until it commits. PostgreSQL refuses the lock to a transaction that has an xid, and events without the
 * lock (`lock_merchants`, `events_behind_their_lock`).
 */

/** What an event tells, in the version that is written today: its type decides what its data looks like. */
export type ToldEvent = {
  [Type in EventType]: { readonly type: Type; readonly data: EventData<Type>; readonly occurredAtMs: number };
}[EventType];

export type NewEvent = ToldEvent & {
  /** W3C traceparent of the request that caused it. */
  readonly traceContext: string | undefined;
};

/** The event as the table has it. */
export interface EventRow {
  readonly merchantId: bigint;
  readonly type: EventType;
  readonly version: number;
  readonly occurredAtMs: number;
  readonly traceContext: string | undefined;
  /** JSON text. */
  readonly data: string;
}

export function eventRow(
  merchantId: bigint,
  { type, data, occurredAtMs }: ToldEvent,
  traceContext: string | undefined,
): EventRow {
  return { merchantId, type, version: currentVersion(type), occurredAtMs, traceContext, data: JSON.stringify(data) };
}

/** $1 merchants, sorted, so that two transactions that lock several never wait for each other. */
export const LOCK_MERCHANTS = { name: 'lock-merchants', text: 'SELECT lock_merchants($1)' };

/** Inserts the rows whose `eventColumns` are the statement's parameters from `$first` on, for a statement that writes more. */
export function insertEvents(first: number): string {
  const types = ['bigint', 'text', 'smallint', 'timestamptz', 'text', 'text'];
  const columns = types.map((type, index) => `$${first + index}::${type}[]`);
  return `
  INSERT INTO events (merchant_id, xid, type, version, occurred_at, trace_context, data)
  SELECT merchant_id, (SELECT log_xid()), type, version, occurred_at, trace_context, data::json
    FROM unnest(${columns.join(', ')}) AS v (merchant_id, type, version, occurred_at, trace_context, data)`;
}

/** Parameters of `insertEvents`, one by one: of many events each takes its time. */
export function* eventColumns(rows: readonly EventRow[]): Generator<Buffer> {
  yield int8Array(rows.map((row) => row.merchantId));
  yield textArray(rows.map((row) => row.type));
  yield int2Array(rows.map((row) => row.version));
  yield timestamptzArray(rows.map((row) => row.occurredAtMs));
  yield textArray(rows.map((row) => row.traceContext));
  yield textArray(rows.map((row) => row.data));
}

const APPEND = { name: 'append-events', text: insertEvents(1) };

/** A merchant's log for the rest of a transaction that holds its lock. */
export class MerchantLog {
  readonly #client: TransactionClient;

  private constructor(
    client: TransactionClient,
    readonly merchantId: bigint,
  ) {
    this.#client = client;
  }

  /** Waits for all who append to the merchant's log. To be called before the transaction writes or locks a row. */
  static async lock(client: TransactionClient, merchantId: bigint): Promise<MerchantLog> {
    await client.query({ ...LOCK_MERCHANTS, values: [int8Array([merchantId])] });
    return new MerchantLog(client, merchantId);
  }

  /** Appends events in their order; they are told when the transaction commits. */
  async append(...events: readonly NewEvent[]): Promise<void> {
    const rows = events.map((event) => eventRow(this.merchantId, event, event.traceContext));
    await this.#client.query({ ...APPEND, values: [...eventColumns(rows)] });
  }
}
