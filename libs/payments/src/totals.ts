import type { Fact } from './facts.js';
import type { Movement } from './movement.js';

/** Says what all movements of its kind come to so far. */
export function isTotal({ source, amount, amountKind, objectRef }: Fact): boolean {
  return amountKind === 'cumulative' && objectRef === undefined && amount !== undefined && source === 'provider';
}

/**
 * What a total has above the movements that are told one by one is a movement without a reference. A total speaks of what had not
 * failed when it was told, so what failed before comes on top of it. What a total covers of the merchant's requests is confirmed.
 */
export function addUntold(movements: Movement[], totals: readonly Fact[]): void {
  const { reach, fact } = reachOf(movements, totals);
  let spoken = 0n;
  for (const { told, failure, amount } of movements) if (told || failure) spoken += amount ?? 0n;
  let covered = reach - spoken;
  for (const movement of movements) {
    if (movement.told || movement.failure || covered <= 0n) continue;
    movement.amount ??= covered;
    if (movement.amount <= covered) movement.told = fact;
    covered -= movement.amount;
  }
  const fee = feeAbove(movements, totals);
  if (covered > 0n || fee > 0n) {
    movements.push({
      objectRef: null,
      first: fact,
      told: fact,
      amount: covered > 0n ? covered : 0n,
      fee,
      facts: [...totals],
    });
  }
}

/** The highest total with what had failed before it, and the first fact that told so. */
function reachOf(movements: readonly Movement[], totals: readonly Fact[]): { reach: bigint; fact: Fact } {
  const failed = movements.filter(({ failure }) => failure).sort((a, b) => failedAt(a) - failedAt(b));
  let reach = -1n;
  let [fact] = totals as [Fact];
  let gone = 0n;
  let next = 0;
  for (const total of totals) {
    for (let movement = failed[next]; movement && failedAt(movement) < total.occurredAtMs; movement = failed[++next])
      gone += movement.amount ?? 0n;
    const amount = (total.amount ?? 0n) + gone;
    if (amount > reach) {
      reach = amount;
      fact = total;
    }
  }
  return { reach, fact };
}

function failedAt({ failure }: Movement): number {
  return failure?.occurredAtMs ?? 0;
}

function feeAbove(movements: readonly Movement[], totals: readonly Fact[]): bigint {
  let fee = 0n;
  for (const total of totals) if (total.fee !== undefined && total.fee > fee) fee = total.fee;
  for (const movement of movements) fee -= movement.fee;
  return fee > 0n ? fee : 0n;
}
