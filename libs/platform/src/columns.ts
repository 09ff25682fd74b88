/** Columns of entities as the rest of the code has them: int8 as bigint, timestamptz as milliseconds since 1970. */

export const asBigint = {
  to: (value: bigint | undefined) => value?.toString(),
  from: (value: string) => BigInt(value),
};
export const asMs = { to: (ms: number | null) => ms && new Date(ms), from: (ms: number | null) => ms };
