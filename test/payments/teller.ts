import type { Fact } from '../../libs/payments/src/facts.js';
import type { Dice } from '../histories/history.js';
import type { Answer, Client } from './client.js';
import { type Life, wireOf } from './lives.js';

export interface Shop {
  readonly merchantId: string;
  readonly key: string;
  /** By code. */
  readonly accounts: ReadonlyMap<string, string>;
}

/** One telling of a fact. */
export interface Telling {
  readonly ref: string;
  readonly fact: Fact;
  /** Ids that can never be placed. */
  readonly rejected: readonly string[];
}

export const PROVIDER = 'acme';
const OUTCOMES = new Set(['applied', 'stale', 'parked']);

/** Each fact one to three times. */
export function tellingsOf(life: Pick<Life, 'ref' | 'rejected'>, facts: readonly Fact[], dice: Dice): Telling[] {
  return facts.flatMap((fact) =>
    Array.from({ length: 1 + dice.below(3) }, () => ({ ref: life.ref, fact, rejected: life.rejected })),
  );
}

/** In any order, cut into single posts and batches. */
export function cut(tellings: readonly Telling[], dice: Dice, longest: number): Telling[][] {
  const left = dice.shuffled(tellings);
  const posts: Telling[][] = [];
  while (left.length > 0) posts.push(left.splice(0, dice.next() < 0.5 ? 1 : 1 + dice.below(longest)));
  return posts;
}

/** Tells providers' facts, and looks at what is answered. */
export class Teller {
  readonly outcomes = new Map<string, number>();
  readonly offences: string[] = [];
  /** Tellings that were answered. */
  told = 0;
  /** Facts that were answered as known for the first time. */
  readonly #first = new Set<string>();

  constructor(readonly client: Client) {}

  /** Answers the ids of the payments that they belong to, by reference. */
  async tell({ key }: Shop, post: readonly Telling[]): Promise<Map<string, string>> {
    const events = post.map(({ ref, fact }) => wireOf(fact, { provider: PROVIDER, ref }));
    const [only] = events;
    const answer = await (events.length === 1
      ? this.client.post('/v1/provider_events', key, only as object)
      : this.client.post('/v1/provider_events/batch', key, { events }));
    this.told += post.length;
    if (answer.status !== 202) this.offences.push(`told ${post.length} facts: ${tellOf(answer)}`);
    const results: Record<string, string>[] = answer.body.results ?? [answer.body];
    const ids = new Map<string, string>();
    for (const [index, result] of results.entries()) {
      const telling = post[index] as Telling;
      this.#note(telling, result);
      if (result.payment_id) ids.set(telling.ref, result.payment_id);
    }
    return ids;
  }

  #note({ ref, fact, rejected }: Telling, result: Record<string, string>): void {
    const { outcome = 'none' } = result;
    this.outcomes.set(outcome, (this.outcomes.get(outcome) ?? 0) + 1);
    const isNew = outcome !== 'duplicate';
    if (isNew && this.#first.has(fact.id)) this.offences.push(`${ref}: ${fact.id} was new twice: ${outcome}`);
    if (isNew) this.#first.add(fact.id);
    const isRight = OUTCOMES.has(outcome) || !isNew || (outcome === 'rejected' && rejected.includes(fact.id));
    if (!isRight) this.offences.push(`${ref}: ${fact.type} ${fact.id} was answered ${JSON.stringify(result)}`);
  }
}

export function tellOf({ status, body }: Answer): string {
  return `${status} ${JSON.stringify(body).slice(0, 300)}`;
}
