import { Raw } from 'typeorm';

/** Columns of entities as the rest of the code has them: int8 as bigint, timestamptz as milliseconds since 1970. */

export const asBigint = {
  to: (value: bigint | undefined) => value?.toString(),
  from: (value: string) => BigInt(value),
};
export const asMs = { to: (ms: number | null) => ms && new Date(ms), from: (ms: number | null) => ms };
/** Likewise, but for a time that may be `-infinity`, since ever: -Infinity. */
export const asMsOrEver = { to: (ms: number) => (Number.isFinite(ms) ? new Date(ms) : ms), from: (ms: number) => ms };

/** In a `where` of entities: one of these ids, however many. TypeORM's In and Any give the whole list to a column's transformer. */
export const among = (ids: readonly bigint[]) => Raw((column) => `${column} = ANY (:ids::bigint[])`, { ids });
