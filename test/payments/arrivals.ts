/** All of them at least once, some twice, in any order, cut into batches of any length. */
export function arrivalsOf<T>(facts: readonly T[], random: () => number): T[][] {
  const arriving = [...facts, ...facts.filter(() => random() < 0.25)];
  for (let last = arriving.length - 1; last > 0; last -= 1) {
    const other = Math.floor(random() * (last + 1));
    [arriving[last], arriving[other]] = [arriving[other] as T, arriving[last] as T];
  }
  const batches: T[][] = [];
  while (arriving.length > 0)
    batches.push(arriving.splice(0, random() < 0.5 ? 1 : 1 + Math.floor(random() * arriving.length)));
  return batches;
}

/** Every order of few items. */
export function* permutationsOf<T>(items: readonly T[]): Generator<T[]> {
  const order = [...items];
  const turns = items.map(() => 0);
  yield order;
  // Heap's algorithm: each differs from the one before by one exchange.
  for (let at = 1; at < order.length; ) {
    const turn = turns[at] ?? 0;
    if (turn >= at) {
      turns[at] = 0;
      at += 1;
      continue;
    }
    const other = at % 2 === 0 ? 0 : turn;
    [order[other], order[at]] = [order[at] as T, order[other] as T];
    yield order;
    turns[at] = turn + 1;
    at = 1;
  }
}

/** Every choice of up to `longest` items. */
export function* subsetsOf<T>(items: readonly T[], longest: number, from = 0): Generator<T[]> {
  yield [];
  if (longest === 0) return;
  for (let at = from; at < items.length; at += 1)
    for (const rest of subsetsOf(items, longest - 1, at + 1)) yield [items[at] as T, ...rest];
}
