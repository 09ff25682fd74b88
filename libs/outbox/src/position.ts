/** A place in the log. Rows below the snapshot's xmin never gain predecessors, so that this order has no late-comers. */
export interface Position {
  readonly xid: bigint;
  readonly seq: bigint;
}

export const BEGINNING: Position = { xid: 0n, seq: 0n };

export function isBefore(one: Position, other: Position): boolean {
  return one.xid < other.xid || (one.xid === other.xid && one.seq < other.seq);
}

/** The log is divided by merchant; a partition is what one job of a consumer works on (events.partition). */
export const PARTITIONS = 64;

/** Events of one partition, after `after` and up to `upTo`. */
export interface Stretch {
  readonly partition: number;
  readonly after: Position;
  readonly upTo: Position;
  /** How many events. */
  readonly count: number;
  /** When the first of them occurred, in milliseconds since 1970. */
  readonly oldestMs: number;
}
