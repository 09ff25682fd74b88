import { isoTime } from '#kernel/clock.js';
import { snowflakeTimeMs } from '#kernel/snowflake.js';
import type { Operator } from '#tenancy/operator.js';
import type { BreakTurn } from './break-part.js';

/** Who did it, and when. */
export interface Moment {
  readonly id: string;
  readonly by: string;
  readonly key_id: string | null;
  readonly at: string;
  readonly atMs: number;
}

export function momentOf({ keyId, name }: Operator, turn: BreakTurn): Moment {
  const id = turn.nextId();
  const atMs = snowflakeTimeMs(id);
  return { id: String(id), by: name, key_id: keyId === null ? null : String(keyId), at: isoTime(atMs), atMs };
}
