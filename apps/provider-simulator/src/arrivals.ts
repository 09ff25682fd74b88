import type { ProviderFact } from './life.js';
import type { Random } from './random.js';

/** How facts come to those who are told of them. No other file at run time: k6 runs it as well. */

/** The same facts, none further from its place than a window. */
export function shuffled<T>(items: readonly T[], window: number, random: Random): T[] {
  return items
    .map((item, index) => ({ item, at: index + random.next() * window }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

/** What may be told again under an identity of its own: everything that names its object, or of which there is one. */
const TOLD_OF_THE_WHOLE: readonly string[] = ['authorised', 'authorisation_failed', 'voided', 'expired'];

/** Some facts are told by two events, as providers do; the second one is as true and changes nothing. */
export function withEchoes(facts: readonly ProviderFact[], share: number, random: Random): ProviderFact[] {
  return facts.flatMap((fact) => {
    const isSafe = fact.object_ref !== undefined || TOLD_OF_THE_WHOLE.includes(fact.type);
    return isSafe && random.chance(share) ? [fact, { ...fact, event_id: `${fact.event_id}-again` }] : [fact];
  });
}
