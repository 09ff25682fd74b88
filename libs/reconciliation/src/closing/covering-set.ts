/** Items that together may be what a row tells: found by their sum alone, and so proposed to people and never applied. */

export interface Candidate {
  readonly item: string;
  /** Minor units. */
  readonly amount: bigint;
}

/** Items of a set at most. */
export const COVERING_ITEMS = 12;
/** Sets that are begun for a row, before it is left without a proposal. */
const COVERING_STEPS = 50_000;

interface Search<T> {
  readonly candidates: readonly T[];
  /** No candidate is of less, none of more. */
  readonly least: bigint;
  readonly most: bigint;
  left: number;
}

/**
 * The smallest set of candidates that comes to `sum`, of several the one of the candidates that come first. Undefined: there is none, or it
 * takes more steps to find than anybody should wait for.
 */
export function coveringSet<T extends Candidate>(sum: bigint, candidates: readonly T[]): readonly T[] | undefined {
  const amounts = candidates.map(({ amount }) => amount).sort((a, b) => (a < b ? -1 : 1));
  const [least = 0n, most = 0n] = [amounts[0], amounts.at(-1)];
  const search: Search<T> = { candidates, least, most, left: COVERING_STEPS };
  for (let size = 1; size <= Math.min(COVERING_ITEMS, candidates.length); size += 1) {
    const found = choose(search, sum, 0, size);
    if (found) return found;
  }
  return undefined;
}

/** `size` of the candidates from `from` on. */
function choose<T extends Candidate>(
  search: Search<T>,
  sum: bigint,
  from: number,
  size: number,
): readonly T[] | undefined {
  if (size === 0) return sum === 0n ? [] : undefined;
  const { candidates, least, most } = search;
  if (sum < BigInt(size) * least || sum > BigInt(size) * most) return undefined;
  for (let index = from; index <= candidates.length - size; index += 1) {
    search.left -= 1;
    if (search.left < 0) return undefined;
    const one = candidates[index] as T;
    const rest = choose(search, sum - one.amount, index + 1, size - 1);
    if (rest) return [one, ...rest];
  }
  return undefined;
}
