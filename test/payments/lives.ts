import type { DisputeStage, Fact, FactType } from '../../libs/payments/src/facts.js';
import { Books, type Standing } from './books.ts';
import { type LifeOptions, Telling } from './telling.ts';

/**
 * Lives of payments, drawn by a seed: what really happened, told as a provider would tell it, and what must be left in the end.
 * The end is booked while the story goes on, one journal entry for each thing that happens: it knows nothing of `position`.
 * Pure and without imports at run time but its own, so that k6 can run it.
 */

export interface Life {
  readonly ref: string;
  readonly seed: number;
  readonly currency: string;
  /** Each as told, in the order in which they happened. Some are told again under another id. */
  readonly facts: readonly Fact[];
  readonly end: Standing;
  /** Ids of facts that can never be placed. */
  readonly rejected: readonly string[];
}

/** As `POST /v1/provider_events` has it; `provider` is who tells. A request is none. */
export function wireOf(fact: Fact, { provider, ref }: { provider: string; ref: string }): Record<string, unknown> {
  return {
    provider,
    event_id: fact.id,
    payment_ref: ref,
    type: fact.type,
    sequence: fact.sequence,
    amount: fact.amount?.toString(),
    amount_kind: fact.amountKind,
    currency: fact.currency,
    object_ref: fact.objectRef,
    fee: fact.fee?.toString(),
    stage: fact.stage,
    reason: fact.reason,
    occurred_at: new Date(fact.occurredAtMs).toISOString(),
  };
}

export function lifeOf(options: LifeOptions): Life {
  return new Story(options).told();
}

interface DisputeStory {
  readonly ref: string | undefined;
  readonly amount: bigint;
  /** Whether the provider tells of the money apart from the outcome. */
  readonly tellsFunds: boolean;
  stage: DisputeStage;
  /** What of it is taken from the merchant now. */
  taken: boolean;
  lost: boolean;
  /** What the processor has of it. */
  away: bigint;
  withdrawals: number;
  hasFee: boolean;
}

interface Moved {
  readonly ref: string | undefined;
  readonly amount: bigint;
}

const MAX_STEPS = 100;
const STAGES: readonly DisputeStage[] = ['inquiry', 'chargeback', 'second_chargeback', 'pre_arbitration'];

class Story extends Telling {
  readonly #books = new Books();
  readonly #rejected: string[] = [];
  #authorised = 0n;
  #isAuthorised = false;
  #isConfirmed = false;
  #ended: 'voided' | 'expired' | undefined;
  #isClosed = false;
  #captures: Moved[] = [];
  #refunds: Moved[] = [];
  #settled = 0n;
  #disputes: DisputeStory[] = [];
  /** "All that is left", or "the only one", was told: it may not come to mean something else. */
  #captureIsWhole = false;
  #refundIsWhole = false;
  /** Amounts of captures and refunds where requests are made: equal ones could be told of either. */
  readonly #amounts = new Set<string>();

  told(): Life {
    this.#open();
    const facts = this.facts.length + Math.floor(this.random() * (this.options.facts ?? 14));
    // Not everything can happen at any time: what cannot tells nothing.
    for (let step = 0; step < MAX_STEPS && this.facts.length < facts; step += 1) this.#step();
    const { ref, seed } = this.options;
    return { ref, seed, currency: this.currency, facts: this.facts, end: this.#end(), rejected: this.#rejected };
  }

  #open(): void {
    const amount = this.amountUpTo(100_000n);
    if (this.chance(0.15)) {
      // A sale at once, without an authorisation; its sequence says that nothing came before.
      this.#isClosed = true;
      this.#captured(amount, this.move('captured', amount, 'c', { currency: this.currency }));
      return;
    }
    const isRequest = this.options.requests === true && this.chance(0.4);
    if (isRequest) this.request('authorised', amount);
    if (isRequest && this.chance(0.15)) {
      this.#refuse(amount);
      return;
    }
    const isTriedAgain = this.chance(0.1);
    if (isTriedAgain) this.tell('authorisation_failed', { reason: 'declined' });
    this.#authorised = amount;
    this.#isAuthorised = true;
    if (!isRequest || isTriedAgain || this.chance(0.7)) {
      this.tell('authorised', { amount, currency: this.currency });
      this.#isConfirmed = true;
    }
    this.#hold();
  }

  /** What the merchant opened, and perhaps captured at once, was never authorised. */
  #refuse(amount: bigint): void {
    if (this.chance(0.5)) this.request('captured', amount, true);
    this.tell('authorisation_failed', { reason: 'declined' });
    this.#isClosed = true;
  }

  #step(): void {
    this.atMs += 1 + Math.floor(this.random() * 3_000);
    this.oneOf([
      () => this.#capture(),
      () => this.#capture(),
      () => this.#capture(),
      () => this.#failCapture(),
      () => this.#adjust(),
      () => this.#close(),
      () => this.#refund(),
      () => this.#refund(),
      () => this.#failRefund(),
      () => this.#dispute(),
      () => this.#goOnWithDispute(),
      () => this.#goOnWithDispute(),
      () => this.#goOnWithDispute(),
      () => this.#goOnWithDispute(),
      () => this.#goOnWithDispute(),
      () => this.#goOnWithDispute(),
      () => this.#settle(),
      () => this.#settle(),
      () => this.#noise(),
    ])();
  }

  // ---- what happens

  #capture(): void {
    const left = this.#held();
    if (left === 0n || this.#captureIsWhole) return;
    const whole = this.chance(0.15);
    const amount = whole || this.chance(0.4) ? left : this.amountUpTo(left);
    if (this.#isTaken('captured', amount)) return;
    if (this.options.requests === true && this.chance(0.4)) {
      const isFinal = this.chance(0.2);
      this.request('captured', amount, isFinal);
      this.#isClosed ||= isFinal;
      this.#captured(amount, this.#confirm('captured', amount, 'c'));
    } else {
      this.#captureIsWhole = whole && this.#canSayAll();
      this.#captured(amount, this.move('captured', this.#captureIsWhole ? undefined : amount, 'c'));
    }
  }

  #canSayAll(): boolean {
    return this.manner !== 'totals' && this.options.requests !== true;
  }

  #isTaken(type: FactType, amount: bigint): boolean {
    if (this.options.requests !== true) return false;
    const isTaken = this.#amounts.has(`${type} ${amount}`);
    this.#amounts.add(`${type} ${amount}`);
    return isTaken;
  }

  /** The provider tells of a request under an id of its own, as part of its total, or not at all. */
  #confirm(type: 'captured' | 'refunded', amount: bigint, prefix: string): string | undefined {
    if (this.manner === 'totals' || this.chance(0.7)) return this.move(type, amount, prefix);
    return undefined;
  }

  #failCapture(): void {
    const at = Math.floor(this.random() * this.#captures.length);
    const capture = this.#captures[at];
    if (!capture || this.#captureIsWhole || this.#refundIsWhole || this.options.requests) return;
    const isOnly = this.manner === 'unnamed' && this.facts.filter(({ type }) => type === 'captured').length === 1;
    if (capture.ref === undefined && !isOnly) return;
    const left = this.#capturedSum() - capture.amount;
    const disputed = this.#disputes.some(({ amount }) => amount > left);
    if (this.#refundedSum() > left || this.#disputedSum() > left || disputed) return;
    const named = capture.ref === undefined ? {} : { objectRef: capture.ref };
    this.tell('capture_failed', { ...named, ...(this.chance(0.5) && { amount: capture.amount }) });
    this.#captures.splice(at, 1);
    this.#captureIsWhole = isOnly;
    this.#books.post('merchant_payable', 'provider_receivable', capture.amount);
    this.#hold();
  }

  #adjust(): void {
    if (!this.#isAuthorised || this.#isClosed || this.#captureIsWhole) return;
    const more = this.#authorised + this.amountUpTo(50_000n);
    this.tell('authorisation_adjusted', { amount: more, amountKind: this.oneOf(['delta', 'cumulative']) });
    this.#authorised = more;
    this.#hold();
  }

  #close(): void {
    if (this.#held() === 0n || this.chance(0.5)) return;
    this.#ended = this.oneOf(['voided', 'expired']);
    if (this.options.requests === true && this.#ended === 'voided' && this.chance(0.5)) this.request('voided');
    else this.tell(this.#ended);
    this.#isClosed = true;
    this.#hold();
  }

  #refund(): void {
    const left = this.#capturedSum() - this.#refundedSum() - this.#disputedSum();
    if (left <= 0n || this.#refundIsWhole) return;
    const whole = this.chance(0.1) && this.#disputedSum() === 0n && this.#canSayAll();
    const amount = whole || this.chance(0.3) ? left : this.amountUpTo(left);
    if (this.#isTaken('refunded', amount)) return;
    if (this.options.requests === true && this.chance(0.4)) {
      this.request('refunded', amount);
      this.#refunded(amount, this.#confirm('refunded', amount, 'r'));
    } else {
      this.#refundIsWhole = whole;
      this.#captureIsWhole ||= whole;
      this.#refunded(amount, this.move('refunded', whole ? undefined : amount, 'r'));
    }
  }

  #failRefund(): void {
    const at = Math.floor(this.random() * this.#refunds.length);
    const refund = this.#refunds[at];
    if (refund?.ref === undefined || this.#refundIsWhole || this.options.requests) return;
    this.tell(this.oneOf(['refund_failed', 'refund_reversed']), { objectRef: refund.ref });
    this.#refunds.splice(at, 1);
    this.#books.post('provider_receivable', 'merchant_payable', refund.amount);
  }

  #dispute(): void {
    // Of what was captured, refunded or not: both are told now and then for the same money.
    const left = this.#capturedSum() - this.#disputedSum();
    // Without names one dispute is all that can be told of.
    if (left <= 0n || (this.manner !== 'named' && this.#disputes.length > 0)) return;
    const amount = this.chance(0.5) ? left : this.amountUpTo(left);
    const stage = this.oneOf<DisputeStage>(['inquiry', 'chargeback', 'chargeback']);
    const ref = this.named('d').objectRef;
    const taken = stage !== 'inquiry';
    const dispute: DisputeStory = {
      ref,
      amount,
      tellsFunds: this.chance(0.6),
      stage,
      taken,
      lost: false,
      away: 0n,
      withdrawals: 0,
      hasFee: false,
    };
    this.#disputes.push(dispute);
    this.tell('dispute_opened', { amount, stage, ...(ref !== undefined && { objectRef: ref }) });
    if (taken) this.#books.post('merchant_payable', 'dispute_reserve', amount);
  }

  #goOnWithDispute(): void {
    const dispute = this.#disputes[Math.floor(this.random() * this.#disputes.length)];
    if (!dispute) return;
    const named = dispute.ref === undefined ? {} : { objectRef: dispute.ref };
    if (dispute.stage === 'inquiry') {
      if (this.#capturedSum() - this.#disputedSum() < dispute.amount) return;
      dispute.stage = 'chargeback';
      this.tell('dispute_opened', { amount: dispute.amount, stage: 'chargeback', ...named });
      this.#takeFor(dispute);
      return;
    }
    this.oneOf([
      () => this.#withdraw(dispute, named),
      () => this.#reinstate(dispute, named),
      () => this.#lose(dispute, named),
      () => this.#win(dispute, named),
      () => this.#charge(dispute, named),
    ])();
  }

  #takeFor(dispute: DisputeStory): void {
    dispute.taken = true;
    this.#books.post('merchant_payable', 'dispute_reserve', dispute.amount);
  }

  #withdraw(dispute: DisputeStory, named: object): void {
    if (!dispute.tellsFunds || dispute.away > 0n) return;
    // Once more only at a later stage, which is what makes it another withdrawal.
    dispute.withdrawals += 1;
    const stage = STAGES[dispute.withdrawals];
    if (stage === undefined) return;
    if (dispute.withdrawals > 1) dispute.stage = stage;
    this.tell('dispute_funds_withdrawn', { amount: dispute.amount, stage, ...named });
    dispute.away = dispute.amount;
    this.#books.post('dispute_reserve', 'provider_receivable', dispute.amount);
  }

  #reinstate(dispute: DisputeStory, named: object): void {
    if (!dispute.tellsFunds || dispute.away === 0n) return;
    this.tell('dispute_funds_reinstated', { amount: dispute.away, stage: dispute.stage, ...named });
    this.#books.post('provider_receivable', 'dispute_reserve', dispute.away);
    dispute.away = 0n;
  }

  #lose(dispute: DisputeStory, named: object): void {
    if (dispute.lost || (dispute.tellsFunds && dispute.withdrawals === 0)) return;
    if (!dispute.taken && this.#capturedSum() - this.#disputedSum() < dispute.amount) return;
    this.tell('dispute_lost', {
      ...named,
      ...this.#atStage(dispute),
      ...(this.chance(0.3) && { amount: dispute.amount }),
    });
    if (!dispute.taken) this.#takeFor(dispute);
    dispute.lost = true;
    if (!dispute.tellsFunds) this.#books.post('dispute_reserve', 'provider_receivable', dispute.amount);
  }

  #win(dispute: DisputeStory, named: object): void {
    if (!dispute.taken) return;
    this.tell('dispute_won', { ...named, ...this.#atStage(dispute) });
    dispute.taken = false;
    this.#books.post('dispute_reserve', 'merchant_payable', dispute.amount);
    if (dispute.lost && !dispute.tellsFunds) this.#books.post('provider_receivable', 'dispute_reserve', dispute.amount);
    dispute.lost = false;
  }

  /** Some providers say of which stage an outcome is. */
  #atStage({ stage }: DisputeStory): { stage?: DisputeStage } {
    return this.chance(0.4) ? { stage } : {};
  }

  #charge(dispute: DisputeStory, named: object): void {
    if (dispute.hasFee) return;
    dispute.hasFee = true;
    const fee = this.amountUpTo(2_000n);
    this.tell('dispute_fee', { ...(this.chance(0.5) ? { fee } : { amount: fee }), ...named });
    this.#books.post('merchant_payable', 'provider_receivable', fee);
  }

  #settle(): void {
    const left = this.#capturedSum() - this.#settled;
    if (left <= 0n) return;
    const amount = this.chance(0.5) ? left : this.amountUpTo(left);
    const fee = this.chance(0.7) ? (amount * 29n) / 1_000n : undefined;
    this.tell('settled', { amount, ...(fee !== undefined && { fee }), ...this.named('s') });
    this.#settled += amount;
    this.#books.post('cash', 'provider_receivable', amount - (fee ?? 0n));
    this.#books.post('provider_fees', 'provider_receivable', fee ?? 0n);
  }

  /** Facts that must not mean anything. */
  #noise(): void {
    if (this.#isConfirmed && this.chance(0.5)) this.tell('authorisation_failed', { reason: 'told late' });
    if (this.chance(0.3)) {
      this.tell('captured', { amount: 1n, currency: 'CHF' });
      this.#rejected.push(this.facts.at(-1)?.id ?? '');
    }
  }

  // ---- what it comes to

  #captured(amount: bigint, ref: string | undefined): void {
    this.#captures.push({ ref, amount });
    this.#books.post('provider_receivable', 'merchant_payable', amount);
    this.#hold();
  }

  #refunded(amount: bigint, ref: string | undefined): void {
    this.#refunds.push({ ref, amount });
    this.#books.post('merchant_payable', 'provider_receivable', amount);
  }

  #hold(): void {
    this.#books.hold(this.#held());
  }

  #held(): bigint {
    const captured = this.#capturedSum();
    return this.#isClosed || captured >= this.#authorised ? 0n : this.#authorised - captured;
  }

  #capturedSum(): bigint {
    return sum(this.#captures);
  }

  #refundedSum(): bigint {
    return sum(this.#refunds);
  }

  #disputedSum(): bigint {
    return sum(this.#disputes.filter(({ taken }) => taken));
  }

  #end(): Standing {
    const [captured, refunded, held] = [this.#capturedSum(), this.#refundedSum(), this.#held()];
    const whileCaptured = held > 0n ? 'partially_captured' : 'captured';
    const afterRefund = refunded === captured ? 'refunded' : 'partially_refunded';
    const uncaptured = this.#isAuthorised ? (this.#ended ?? 'authorised') : 'failed';
    return {
      status: captured === 0n ? uncaptured : refunded > 0n ? afterRefund : whileCaptured,
      authorised: this.#authorised,
      capturable: held,
      captured,
      refunded,
      disputed: this.#disputedSum(),
      settled: this.#settled,
      accounts: this.#books.balances(),
    };
  }
}

function sum(of: readonly { amount: bigint }[]): bigint {
  return of.reduce((total, { amount }) => total + amount, 0n);
}
