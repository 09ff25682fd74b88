/** Items that together may be what a row tells: found by their sum alone, and so proposed to people and never applied. */

export interface Candidate {
  readonly item: string;
  /** Minor units, of one sign. */
  readonly amount: bigint;
}

/** Items of a set at most. */
export const COVERING_ITEMS = 12;
/** Sets that are tried for a row, before it is left without a proposal. */
export const COVERING_STEPS = 50_000;

/**
 * The smallest set of candidates that comes to `sum`, of several the one of the candidates that come first. Undefined: there is none, or it
 * takes more steps to find than anybody should wait for.
 */
export function coveringSet<T extends Candidate>(sum: bigint, candidates: readonly T[]): readonly T[] | undefined {
  const search = { left: COVERING_STEPS };
  for (let size = 1; size <= Math.min(COVERING_ITEMS, candidates.length) && search.left > 0; size += 1) {
    const found = choose(sum, candidates, 0, size, search);
    if (found) return found;
  }
  return undefined;
}

/** `size` of the candidates from `from` on. */
function choose<T extends Candidate>(
  sum: bigint,
  candidates: readonly T[],
  from: number,
  size: number,
  search: { left: number },
): readonly T[] | undefined {
  if (size === 0) return sum === 0n ? [] : undefined;
  for (let index = from; index <= candidates.length - size; index += 1) {
    search.left -= 1;
    if (search.left < 0) return undefined;
    const one = candidates[index] as T;
    const rest = choose(sum - one.amount, candidates, index + 1, size - 1, search);
    if (rest) return [one, ...rest];
  }
  return undefined;
}
