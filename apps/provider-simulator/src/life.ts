import type { DisputeStage, FactType } from '#payments/facts.js';
import type { Random } from './random.js';

/** What became of a payment, as its provider knows it, drawn by chance. No other file at run time: k6 runs it as well. */

/** As `POST /v1/provider_events` and the generic webhook have it. */
export interface ProviderFact {
  event_id: string;
  payment_ref: string;
  type: FactType;
  currency: string;
  occurred_at: string;
  amount?: string;
  amount_kind?: 'delta' | 'cumulative';
  object_ref?: string;
  sequence?: number;
  fee?: string;
  stage?: DisputeStage;
  reason?: string;
}

export interface Life {
  ref: string;
  currency: string;
  plot: PlotName;
  /** Each change once, in the order in which they happened. */
  facts: ProviderFact[];
  /** Set where the merchant opens the payment itself: what `POST /v1/payments` says. */
  opening?: { amount: string; capture: 'automatic' | 'manual' };
}

export interface LifeOptions {
  ref: string;
  currency: string;
  /** When the first fact happened; the others are minutes apart. */
  sinceMs: number;
  /** Of those plots that a merchant may have opened, how many it has. */
  opened?: number;
}

type Told = Partial<Omit<ProviderFact, 'amount' | 'fee'>> & { amount?: number; fee?: number };

/** One payment while its story is told: what has happened, and what of it can still be given back. */
class Story {
  readonly facts: ProviderFact[] = [];
  opening: Life['opening'];
  /** Captured, and neither refunded nor disputed so far; what failed to be given back is not given back again. */
  free = 0;
  #atMs: number;
  #objects = 0;

  constructor(
    private readonly options: LifeOptions,
    readonly random: Random,
    readonly amount: number,
  ) {
    this.#atMs = options.sinceMs;
  }

  tell(type: FactType, { amount, fee, ...told }: Told = {}): void {
    const { ref, currency } = this.options;
    this.facts.push({
      event_id: `${ref}-${this.facts.length + 1}`,
      payment_ref: ref,
      type,
      currency,
      occurred_at: new Date(this.#atMs).toISOString(),
      ...(amount !== undefined && { amount: String(amount) }),
      ...(fee !== undefined && { fee: String(fee) }),
      ...told,
    });
    this.#atMs += 1_000 * this.random.between(1, 600);
  }

  /** Told with an object of its own; answers the object's name. */
  tellOf(type: FactType, prefix: string, told: Told): string {
    this.#objects += 1;
    const object_ref = `${this.options.ref}-${prefix}${this.#objects}`;
    this.tell(type, { ...told, object_ref });
    return object_ref;
  }

  capture(amount: number): void {
    this.free += amount;
    this.tellOf('captured', 'cap', { amount });
  }

  opens(capture: 'automatic' | 'manual'): boolean {
    const opens = this.random.chance(this.options.opened ?? 0);
    if (opens) this.opening = { amount: String(this.amount), capture };
    return opens;
  }

  part(of: number): number {
    return this.random.between(1, Math.max(1, of - 1));
  }
}

const PLOTS = {
  /** One message for all of it: no authorisation is ever told. */
  sale(story) {
    story.free = story.amount;
    story.tellOf('captured', 'cap', { amount: story.amount, sequence: 1 });
    aftermath(story);
  },
  purchase(story) {
    story.opens('automatic');
    story.tell('authorised', { amount: story.amount });
    story.capture(story.amount);
    aftermath(story);
  },
  shipments(story) {
    story.opens('manual');
    story.tell('authorised', { amount: story.amount });
    const first = story.part(Math.floor(story.amount / 2));
    const second = story.part(story.amount - first);
    story.capture(first);
    if (story.random.chance(0.7)) story.capture(second);
    const rest = story.random.pick(['voided', 'expired', undefined] as const);
    if (rest) story.tell(rest);
    aftermath(story);
  },
  abandoned(story) {
    story.opens('manual');
    story.tell('authorised', { amount: story.amount });
    const end = story.random.pick(['voided', 'expired', undefined] as const);
    if (end) story.tell(end);
  },
  /** The merchant believes it has the money, and is told that it has not. Nobody but the merchant knows of it otherwise. */
  declined(story) {
    if (!story.opens(story.random.pick(['automatic', 'manual']))) return PLOTS['second try'](story);
    story.tell('authorisation_failed', { reason: 'do_not_honour' });
  },
  'second try'(story) {
    story.tell('authorisation_failed', { reason: 'insufficient_funds' });
    story.tell('authorised', { amount: story.amount });
    story.capture(story.amount);
    aftermath(story);
  },
  adjusted(story) {
    story.opens('manual');
    story.tell('authorised', { amount: story.amount });
    const more = story.amount + story.part(story.amount);
    story.tell('authorisation_adjusted', { amount: more });
    const last = story.random.chance(0.5) ? more : story.part(more);
    if (last !== more) story.tell('authorisation_adjusted', { amount: last });
    story.capture(story.part(last));
    aftermath(story);
  },
  /** The money did not come although it was captured; the second try brings it. */
  slipped(story) {
    story.tell('authorised', { amount: story.amount });
    const object_ref = story.tellOf('captured', 'cap', { amount: story.amount });
    story.tell('capture_failed', { object_ref, reason: 'bank_refused' });
    story.capture(story.part(story.amount));
    aftermath(story);
  },
  /** A provider that tells how much it comes to so far, as Stripe's charges do. */
  snapshots(story) {
    story.opens('manual');
    story.tell('authorised', { amount: story.amount });
    const first = story.part(story.amount);
    const object_ref = story.tellOf('captured', 'charge', { amount: first, amount_kind: 'cumulative' });
    story.tell('captured', { amount: story.amount, amount_kind: 'cumulative', object_ref });
    const refunded = story.part(story.amount);
    story.tell('refunded', { amount: story.part(refunded), amount_kind: 'cumulative' });
    story.tell('refunded', { amount: refunded, amount_kind: 'cumulative' });
    settle(story, story.amount);
  },
} satisfies Record<string, (story: Story) => void>;

export type PlotName = keyof typeof PLOTS;

export const PLOT_NAMES = Object.keys(PLOTS) as PlotName[];

/** What may happen to money that was captured. */
function aftermath(story: Story): void {
  const captured = story.free;
  if (story.random.chance(0.5)) refund(story);
  if (story.random.chance(0.3)) dispute(story);
  if (story.random.chance(0.6)) settle(story, captured);
}

function refund(story: Story): void {
  for (let left = story.random.between(1, 2); left > 0 && story.free > 0; left -= 1) {
    const amount = story.random.chance(0.3) ? story.free : story.part(story.free);
    story.free -= amount;
    const object_ref = story.tellOf('refunded', 'ref', { amount });
    const end = story.random.pick([undefined, undefined, 'refund_failed', 'refund_reversed'] as const);
    if (end) story.tell(end, { object_ref });
  }
}

/** Whether money moves is told apart from who is right, or not at all. */
function dispute(story: Story): void {
  if (story.free === 0) return;
  const amount = story.random.chance(0.5) ? story.free : story.part(story.free);
  story.free -= amount;
  const object_ref = story.tellOf('dispute_opened', 'dis', { amount, stage: 'inquiry' });
  if (story.random.chance(0.2)) return;
  story.tell('dispute_opened', { amount, stage: 'chargeback', object_ref });
  const tellsMoney = story.random.chance(0.5);
  if (tellsMoney) story.tell('dispute_funds_withdrawn', { amount, object_ref });
  if (story.random.chance(0.5)) story.tell('dispute_fee', { amount: story.random.between(10, 1_500), object_ref });
  const outcome = story.random.pick(['open', 'won', 'lost', 'lost, then won'] as const);
  if (outcome.startsWith('lost')) story.tell('dispute_lost', { object_ref });
  if (!outcome.endsWith('won')) return;
  if (tellsMoney) story.tell('dispute_funds_reinstated', { amount, object_ref });
  story.tell('dispute_won', { object_ref });
}

/** In one or two parts, of which the processor keeps a percent. */
function settle(story: Story, captured: number): void {
  const first = story.random.chance(0.5) ? captured : story.part(captured);
  for (const amount of [first, captured - first]) {
    if (amount > 0) story.tellOf('settled', 'set', { amount, fee: Math.floor(amount / 100) });
  }
}

export function liveALife(options: LifeOptions, random: Random, plot: PlotName = random.pick(PLOT_NAMES)): Life {
  const story = new Story(options, random, random.between(500, 200_000));
  PLOTS[plot](story);
  const { facts, opening } = story;
  return { ref: options.ref, currency: options.currency, plot, facts, ...(opening && { opening }) };
}
