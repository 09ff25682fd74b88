import { Dice } from '../histories/history.js';
import { FAILURES, failureLife } from './failures.js';
import { Conversation, type Hands, race, tellAll, tellLives } from './jobs.js';
import { type Life, lifeOf } from './lives.js';
import { cut, type Shop, type Teller, type Telling } from './teller.js';

/** Payments whose facts are told in one another's batches. */
const TOGETHER = 10;
/** Every so many of these groups are told one by one, with the merchant's own requests. */
const WITH_REQUESTS = 4;
const RACES = 0.25;
const WITH_FAILURES = 0.3;
const CLIENTS = 2;
const LATE_BATCH = 200;
const HOUR_MS = 3_600_000;
/** No life that is drawn lasts as long. */
const LONGEST_MS = 300_000;

type Kind = 'drawn lives' | 'failures' | 'with requests' | 'races';

/** Payments, each with its facts in an order of its own. The seed decides on lives and orders; the machine decides what meets what. */
export class PaymentTraffic {
  /** What happened, by whom it happened to. */
  readonly ended: ReadonlyMap<Shop, Life[]>;
  readonly kinds = new Map<Kind, number>();
  /** Facts that were told an hour late. */
  late = 0;
  readonly #teller: Teller;
  readonly #shops: readonly Shop[];
  readonly #seed: number;
  readonly #late = new Map<Shop, Telling[]>();
  #groups = 0;
  #stopped = false;

  constructor(teller: Teller, shops: readonly Shop[], seed: number) {
    this.#teller = teller;
    this.#shops = shops;
    this.#seed = seed;
    this.ended = new Map(shops.map((shop) => [shop, []]));
  }

  /** Until `stop`: then what was begun is told to its end, and what is an hour late. */
  async run(): Promise<void> {
    this.#stopped = false;
    const client = async (): Promise<void> => {
      while (!this.#stopped) {
        this.#groups += 1;
        await this.#group(this.#groups);
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, client));
    await Promise.all([...this.#late].map(([shop, tellings]) => this.#tellLate(shop, tellings)));
    this.#late.clear();
  }

  stop(): void {
    this.#stopped = true;
  }

  async #group(group: number): Promise<void> {
    const shop = this.#shops[group % this.#shops.length] as Shop;
    const hands = { teller: this.#teller, shop, dice: new Dice(this.#seed + group) };
    const refs = Array.from({ length: TOGETHER }, (_, index) => `p${group * TOGETHER + index}`);
    if (group % WITH_REQUESTS === WITH_REQUESTS - 1)
      await Promise.all(refs.map((ref) => this.#withRequests(hands, ref)));
    else await this.#told(hands, refs);
  }

  async #told(hands: Hands, refs: readonly string[]): Promise<void> {
    const { dice, shop } = hands;
    const lives = refs.map((ref, index) => {
      const isOld = index % 2 === 0;
      const untilMs = Date.now() - (isOld ? HOUR_MS : 0);
      if (dice.next() >= WITH_FAILURES) return { isOld, life: this.#draw(ref, dice, untilMs, false) };
      this.#count('failures');
      return { isOld, life: failureLife(dice.pick(FAILURES), ref, untilMs) };
    });
    const late = await tellLives(hands, lives);
    this.#late.set(shop, [...(this.#late.get(shop) ?? []), ...late]);
    this.ended.get(shop)?.push(...lives.map(({ life }) => life));
  }

  #draw(ref: string, dice: Dice, untilMs: number, requests: boolean): Life {
    this.#count(requests ? 'with requests' : 'drawn lives');
    return lifeOf({ ref, seed: dice.below(2 ** 31), sinceMs: untilMs - LONGEST_MS, requests });
  }

  async #withRequests(hands: Hands, ref: string): Promise<void> {
    const { dice, shop } = hands;
    if (dice.next() < RACES) {
      this.#count('races');
      this.ended.get(shop)?.push(await race(hands, ref, Date.now()));
      return;
    }
    const life = this.#draw(ref, dice, Date.now(), true);
    await new Conversation(hands, life).run();
    this.ended.get(shop)?.push(life);
  }

  async #tellLate(shop: Shop, tellings: readonly Telling[]): Promise<void> {
    const hands = { teller: this.#teller, shop, dice: new Dice(this.#seed) };
    this.late += new Set(tellings.map(({ fact }) => fact.id)).size;
    await tellAll(hands, cut(tellings, hands.dice, LATE_BATCH));
  }

  #count(kind: Kind): void {
    this.kinds.set(kind, (this.kinds.get(kind) ?? 0) + 1);
  }
}
