/** A place in the log. Rows below the log's horizon never gain predecessors, so that this order has no late-comers. */
export interface Position {
  /** Epoch and transaction id in one number: the id, moved behind all places of earlier epochs (docs/adr/0014). */
  readonly xid: bigint;
  readonly seq: bigint;
}

export const BEGINNING: Position = { xid: 0n, seq: 0n };

export function isBefore(one: Position, other: Position): boolean {
  return one.xid < other.xid || (one.xid === other.xid && one.seq < other.seq);
}

/** `<xid>-<seq>`: the id of the event that the position lies behind. */
export function positionText({ xid, seq }: Position): string {
  return `${xid}-${seq}`;
}

/** Of what `positionText` made. */
export function parsePosition(text: string): Position {
  const [xid = '', seq = ''] = text.split('-');
  return { xid: BigInt(xid), seq: BigInt(seq) };
}

/** The log is divided by merchant; a partition is what one job of a consumer works on (events.partition). */
export const PARTITIONS = 64;

/** Events of one partition, after `after` and up to `through`, or those of a merchant that goes apart from it. */
export interface EventBatch {
  readonly partition: number;
  /** Who goes apart: how far is decided when its turn comes. */
  readonly merchantId?: bigint;
  readonly after: Position;
  readonly through: Position;
  /** How many events. */
  readonly count: number;
  /** Dispatched before, and not applied in time. */
  readonly isAgain: boolean;
  /** Sampled traceparents of its events, a few of them, in their order; none without tracing. */
  readonly traces: readonly string[];
  /** W3C traceparent of the span that hands it over. */
  readonly traceContext?: string | undefined;
}
