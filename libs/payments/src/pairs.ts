import { byOwnAccount } from './known.js';
import type { Movement } from './movement.js';

/**
 * A request and what the provider tells of it under an id of its own are one movement: those of the same amount, in the order of
 * both, then those that the provider tells without an amount.
 */
export function withPairs(movements: Movement[]): Movement[] {
  const claims = movements.filter(isOpenClaim);
  const tellings = claims.length === 0 ? [] : movements.filter(({ claim }) => !claim);
  if (tellings.length === 0) return movements;
  const absorbed = new Set<Movement>();
  const queues = Map.groupBy(tellings, ({ amount }) => amount);
  for (const queue of queues.values()) queue.reverse();
  for (const claim of claims) {
    const telling = queues.get(claim.amount)?.pop();
    if (telling) absorbed.add(join(claim, telling));
  }
  const open = claims.filter((claim) => !absorbed.has(claim) && isOpenClaim(claim));
  const left = [...queues].flatMap(([, queue]) => queue);
  // Only where an amount is missing: otherwise they are two movements.
  const vague = left.filter(({ amount }) => amount === undefined).reverse();
  for (const claim of open) {
    const telling = vague.pop();
    if (telling) absorbed.add(join(claim, telling));
  }
  return movements.filter((movement) => !absorbed.has(movement));
}

function isOpenClaim({ claim, told, failure }: Movement): boolean {
  return claim !== undefined && told === undefined && failure === undefined;
}

/** The earlier of the two becomes both; returns the other. The merchant keeps the reference that it was answered. */
function join(claim: Movement, telling: Movement): Movement {
  const [kept, absorbed] = byOwnAccount(claim.first, telling.first) <= 0 ? [claim, telling] : [telling, claim];
  kept.objectRef = claim.objectRef ?? telling.objectRef;
  kept.amount = telling.amount ?? claim.amount;
  kept.claim = claim.claim;
  kept.told = telling.told;
  kept.failure = telling.failure;
  if (absorbed.fee > kept.fee) kept.fee = absorbed.fee;
  for (const fact of absorbed.facts) kept.facts.push(fact);
  return absorbed;
}
