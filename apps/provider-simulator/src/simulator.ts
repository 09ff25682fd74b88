import { Courier, type CourierOptions, type Destination } from '../../simulators/courier.js';
import { Refused } from '../../simulators/http.js';
import { shuffled, withEchoes } from './arrivals.js';
import { CONTRADICTIONS, type Contradiction } from './contradictions.js';
import { type Life, liveALife, type PlotName, type ProviderFact } from './life.js';
import { Random } from './random.js';
import { type Report, type ReportOptions, reportOf } from './reports/report.js';

/** A payment service provider: it knows what is true of its payments, and is careless about how it tells. */

export interface Rates {
  /** Facts that are told a second. */
  perSecond: number;
  /** How often each is told. */
  copies: number;
  /** How far, counted in facts, one may be from its place. */
  window: number;
  /** Of the facts, how many are late, and by how much. */
  lateShare: number;
  lateMs: number;
  /** Of the facts, how many are told by a second event besides. */
  echoes: number;
}

export const RATES: Rates = { perSecond: 50, copies: 2, window: 40, lateShare: 0.1, lateMs: 3_000, echoes: 0.1 };

export interface AccountFacts extends Destination {
  /** Who asks for its payments proves with it that they may. */
  api_key: string;
  currency: string;
  /** Its payments began within a day after this. The same again gives the same payments. */
  since: string;
}

export interface HoldOptions {
  refs: readonly string[];
  plot?: PlotName | undefined;
  /** `backwards`: the latest fact first, each twice by the same event, one after the other. */
  tell: 'shuffled' | 'backwards';
}

/** Payments of an account: enough for a load, and a bound. */
const MAX_PAYMENTS = 10_000;
const MAX_ACCOUNTS = 1_000;
const DAY_MS = 86_400_000;

class Account {
  readonly lives = new Map<string, Life>();

  constructor(
    public facts: AccountFacts,
    readonly courier: Courier,
  ) {}
}

export class Simulator {
  readonly #accounts = new Map<string, Account>();

  constructor(
    private readonly seed: string,
    private readonly rates: Rates,
    private readonly courierOptions: CourierOptions,
  ) {}

  /** Again: what has changed since, such as where its webhooks go. */
  open(name: string, facts: AccountFacts): void {
    const known = this.#accounts.get(name);
    if (known) {
      known.facts = facts;
      known.courier.destination = facts;
      return;
    }
    if (this.#accounts.size >= MAX_ACCOUNTS) throw new Refused(`there are ${MAX_ACCOUNTS} accounts already`);
    const random = new Random(this.seed, name, 'courier');
    const courier = new Courier(facts, this.courierOptions, () => random.next());
    this.#accounts.set(name, new Account(facts, courier));
  }

  /** Holds payments of these names, and begins to tell of those that are new. Seed and name decide what they are. */
  hold(name: string, { refs, plot, tell }: HoldOptions): void {
    const account = this.#account(name);
    const added = refs.filter((ref) => !account.lives.has(ref));
    if (account.lives.size + added.length > MAX_PAYMENTS) throw new Refused(`an account has ${MAX_PAYMENTS} payments`);
    const lives = added.map((ref) => this.#lifeOf(ref, account.facts, plot));
    const random = new Random(this.seed, name, account.lives.size);
    const events = lives.flatMap((life) => life.facts);
    const facts = tell === 'backwards' ? events : withEchoes(events, this.rates.echoes, random);
    if (facts.length * this.rates.copies > account.courier.room) throw new Refused('more is to be told than can wait');
    for (const life of lives) account.lives.set(life.ref, life);
    if (tell === 'backwards') void tellBackwards(account.courier, facts);
    else this.#tellShuffled(account.courier, facts, random);
  }

  /** What it holds to be true of a payment, told or not, for the account whose key this is. */
  payment(apiKey: string, ref: string): Life | undefined {
    for (const { facts, lives } of this.#accounts.values()) {
      if (facts.api_key === apiKey) return lives.get(ref);
    }
    return undefined;
  }

  /** What it holds to be true of all payments of the account whose key this is, as processors report it; wrong where it is asked to be. */
  report(apiKey: string, options: ReportOptions): Report | undefined {
    for (const { facts, lives } of this.#accounts.values()) {
      if (facts.api_key === apiKey) return reportOf(lives.values(), options, new Random(this.seed, 'report'));
    }
    return undefined;
  }

  /** Tells something that cannot be true beside what it has told. Answers what it told. */
  contradict(name: string, ref: string, kind: Contradiction): ProviderFact {
    const { courier, lives } = this.#account(name);
    const life = lives.get(ref);
    if (!life) throw new Refused('there is no such payment');
    const fact = CONTRADICTIONS[kind](life);
    void courier.bring(messageOf(fact));
    return fact;
  }

  counts(name: string) {
    const { courier, lives } = this.#account(name);
    return { payments: lives.size, waiting: courier.waiting, ...courier.counts };
  }

  stop(): void {
    for (const { courier } of this.#accounts.values()) courier.stop();
  }

  #lifeOf(ref: string, { currency, since }: AccountFacts, plot: PlotName | undefined): Life {
    const random = new Random(this.seed, ref);
    const sinceMs = Date.parse(since) + random.between(0, DAY_MS);
    return liveALife({ ref, currency, sinceMs }, random, plot);
  }

  #account(name: string): Account {
    const account = this.#accounts.get(name);
    if (!account) throw new Refused('there is no such account');
    return account;
  }

  #tellShuffled(courier: Courier, facts: readonly ProviderFact[], random: Random): void {
    const { copies, window, perSecond, lateShare, lateMs } = this.rates;
    const copied = facts.flatMap((fact) => Array.from({ length: copies }, () => fact));
    const late = new Set(facts.filter(() => random.chance(lateShare)));
    for (const [index, fact] of shuffled(copied, window * copies, random).entries())
      void courier.bring(messageOf(fact), (index * 1_000) / perSecond + (late.has(fact) ? lateMs : 0));
  }
}

async function tellBackwards(courier: Courier, facts: readonly ProviderFact[]): Promise<void> {
  for (const fact of facts.toReversed()) {
    await courier.bring(messageOf(fact));
    await courier.bring(messageOf(fact));
  }
}

const messageOf = (fact: ProviderFact) => ({ id: fact.event_id, body: fact });
