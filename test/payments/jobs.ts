import type { Fact } from '../../libs/payments/src/facts.js';
import type { Dice } from '../histories/history.js';
import { Books } from './books.js';
import type { Json } from './client.js';
import type { Life } from './lives.js';
import { cut, PROVIDER, type Shop, type Teller, type Telling, tellingsOf, tellOf } from './teller.js';

/** Who tells one payment's facts at once. */
const AT_ONCE = 3;
const BATCH = 60;
const SMALL_BATCH = 5;
/** Of what happened an hour ago; every second life did. */
const LATE = 0.1;
const HELD_BACK = 0.3;
const RACERS = 12;

export interface Hands {
  readonly teller: Teller;
  readonly shop: Shop;
  readonly dice: Dice;
}

/** Posts at once, whichever API takes them; answers the ids of their payments. */
export async function tellAll({ teller, shop }: Hands, posts: Telling[][]): Promise<Map<string, string>> {
  const ids = new Map<string, string>();
  const one = async (): Promise<void> => {
    for (let post = posts.pop(); post; post = posts.pop())
      for (const [ref, id] of await teller.tell(shop, post)) ids.set(ref, id);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
  return ids;
}

/** Lives that providers alone tell, mixed; returns what is told an hour late. */
export async function tellLives(hands: Hands, lives: readonly { life: Life; isOld: boolean }[]): Promise<Telling[]> {
  const { dice } = hands;
  const late: Telling[] = [];
  const tellings = lives.flatMap(({ life, isOld }) => {
    const isLate = new Map(life.facts.map((fact) => [fact.id, isOld && dice.next() < LATE]));
    const all = tellingsOf(life, life.facts, dice);
    late.push(...all.filter(({ fact }) => isLate.get(fact.id)));
    return all.filter(({ fact }) => !isLate.get(fact.id));
  });
  await tellAll(hands, cut(tellings, dice, BATCH));
  return late;
}

const ROUTES = { captured: 'capture', voided: 'void', refunded: 'refund' } as const;

/**
 * A life with the merchant's own requests, each after what happened before it; of what its provider told by then some comes later,
 * unless the request cannot be without it.
 */
export class Conversation {
  readonly #hands: Hands;
  readonly #life: Life;
  #pending: Telling[] = [];
  #paymentId: string | undefined;

  constructor(hands: Hands, life: Life) {
    this.#hands = hands;
    this.#life = life;
  }

  async run(): Promise<void> {
    const { dice } = this.#hands;
    for (const fact of this.#life.facts) {
      if (fact.source === 'provider') this.#pending.push(...tellingsOf(this.#life, [fact], dice));
      else {
        const held = this.#pending.filter(() => dice.next() < HELD_BACK);
        await this.#flush(this.#pending.filter((telling) => !held.includes(telling)));
        this.#pending = held;
        await this.#request(fact);
      }
    }
    await this.#flush(this.#pending);
  }

  async #flush(tellings: readonly Telling[]): Promise<void> {
    const ids = await tellAll(this.#hands, cut(tellings, this.#hands.dice, SMALL_BATCH));
    this.#paymentId ??= ids.get(this.#life.ref);
  }

  async #request(fact: Fact): Promise<void> {
    const { teller } = this.#hands;
    let answer = await this.#send(fact);
    if (!answer || answer.status >= 300) {
      await this.#flush(this.#pending);
      this.#pending = [];
      answer = await this.#send(fact);
    }
    if (!answer) teller.offences.push(`${this.#life.ref}: there is no payment for ${fact.id}`);
    else if (answer.status >= 300) teller.offences.push(`${this.#life.ref}: ${fact.type}: ${tellOf(answer)}`);
    else this.#paymentId = answer.body.id;
  }

  async #send({ type, amount, currency, final }: Fact) {
    const { teller, shop } = this.#hands;
    const said = amount === undefined ? {} : { amount: String(amount) };
    if (type === 'authorised') return open(this.#hands, this.#life.ref, { ...said, currency });
    if (this.#paymentId === undefined) return undefined;
    const body = type === 'captured' ? { ...said, final: final ?? false } : said;
    return teller.client.post(
      `/v1/payments/${this.#paymentId}/${ROUTES[type as keyof typeof ROUTES]}`,
      shop.key,
      body,
      true,
    );
  }
}

function open({ teller, shop }: Hands, ref: string, said: object) {
  const body = { ...said, capture: 'manual', provider: PROVIDER, provider_ref: ref };
  return teller.client.post('/v1/payments', shop.key, body, true);
}

/**
 * Captures and refunds that are asked for at once at both APIs, while the provider tells of the authorisation; then it tells of those
 * that were accepted. What was accepted is what the payment comes to.
 */
export async function race(hands: Hands, ref: string, nowMs: number): Promise<Life> {
  const { teller, shop, dice } = hands;
  const amount = BigInt(100 + dice.below(10_000));
  const opened = await open(hands, ref, { amount: String(amount), currency: 'EUR' });
  if (opened.status !== 201) teller.offences.push(`${ref}: ${tellOf(opened)}`);
  const path = `/v1/payments/${opened.body.id}`;
  const sums = { capture: 0n, refund: 0n };
  const racers = Array.from({ length: RACERS }, async (_, index) => {
    const what = index % 2 === 0 ? 'capture' : 'refund';
    const asked = BigInt(1 + dice.below(Number(amount) / 3));
    const body = { amount: String(asked), ...(what === 'capture' && { final: false }) };
    const answer = await teller.client.post(`${path}/${what}`, shop.key, body, true);
    if (answer.status === 200) sums[what] += asked;
    else if (!['invalid_transition', 'amount_exceeds_remaining'].includes(answer.body.code)) {
      teller.offences.push(`${ref}: ${what}: ${tellOf(answer)}`);
    }
  });
  const life = { ref, rejected: [] };
  const told = (type: Fact['type'], number: number, more: Partial<Fact>): Fact => {
    return { id: `${ref}-${number}`, source: 'provider', type, amountKind: 'delta', occurredAtMs: nowMs, ...more };
  };
  const authorised = told('authorised', 1, { amount, currency: 'EUR' });
  await Promise.all([...racers, tellAll(hands, cut(tellingsOf(life, [authorised], dice), dice, SMALL_BATCH))]);
  const { body } = await teller.client.get(path, shop.key);
  const movements = [
    ...body.captures.map((one: Json) => ['captured', one]),
    ...body.refunds.map((one: Json) => ['refunded', one]),
  ];
  const facts = movements.map(([type, one]: [Fact['type'], Json], index) =>
    told(type, index + 2, { amount: BigInt(one.amount), objectRef: one.object_ref }),
  );
  await tellAll(hands, cut(tellingsOf(life, facts, dice), dice, SMALL_BATCH));
  return { ref, seed: 0, currency: 'EUR', rejected: [], facts: [authorised, ...facts], end: raceEnd(amount, sums) };
}

function raceEnd(authorised: bigint, { capture: captured, refund: refunded }: { capture: bigint; refund: bigint }) {
  const capturable = authorised - captured;
  const books = new Books();
  books.post('provider_receivable', 'merchant_payable', captured);
  books.post('merchant_payable', 'provider_receivable', refunded);
  books.hold(capturable);
  const afterRefund = refunded === captured ? 'refunded' : 'partially_refunded';
  const whileCaptured = capturable > 0n ? 'partially_captured' : 'captured';
  const status = captured === 0n ? 'authorised' : refunded > 0n ? afterRefund : whileCaptured;
  return { status, authorised, capturable, captured, refunded, disputed: 0n, settled: 0n, accounts: books.balances() };
}
