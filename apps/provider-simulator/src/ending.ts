import type { Life, ProviderFact } from './life.js';

/**
 * Where a payment must end: its story, read once in the order in which it happened, by a bookkeeper who knows nothing of sets, parking or
 * arrival. What the ledger makes of the same facts in another order is held against it. No other file at run time: k6 runs it as well.
 */

export const PAYMENT_ACCOUNTS = [
  'provider_receivable',
  'merchant_payable',
  'dispute_reserve',
  'provider_fees',
  'cash',
] as const;

type PaymentAccount = (typeof PAYMENT_ACCOUNTS)[number];

/** What the API shows of a payment; amounts in minor units. */
export interface Shown {
  status: string;
  authorised: number;
  capturable: number;
  captured: number;
  refunded: number;
  /** By disputes that are open or lost. */
  disputed: number;
  settled: number;
}

export interface Ending {
  shown: Shown;
  /** Debit positive. */
  posted: Record<PaymentAccount, number>;
  pending: Partial<Record<PaymentAccount, number>>;
}

/** As `GET /v1/payments/{id}` answers it. */
export interface ApiPayment {
  id: string;
  status: string;
  findings: { kind: string; detail: string }[];
  timeline: { source: string; event_id: string; outcome: string }[];
  [amount: `amount_${string}`]: string;
}

/** The same of a payment that the API shows. */
export function shownOf(payment: ApiPayment): Shown {
  const amount = (name: string): number => Number(payment[`amount_${name}`]);
  return {
    status: payment.status,
    authorised: amount('authorised'),
    capturable: amount('capturable'),
    captured: amount('captured'),
    refunded: amount('refunded'),
    disputed: amount('disputed'),
    settled: amount('settled'),
  };
}

interface Dispute {
  amount: number;
  outcome: 'open' | 'won' | 'lost';
  isMoney: boolean;
  /** Withdrawn less reinstated; undefined where the provider tells outcomes only. */
  funds?: number;
  fee: number;
}

class Book {
  authorised = 0;
  failed = false;
  /** How the hold ended. */
  released: 'voided' | 'expired' | undefined;
  readonly captures = new Map<string, number>();
  readonly refunds = new Map<string, number>();
  readonly disputes = new Map<string, Dispute>();
  settled = 0;
  fees = 0;

  read(fact: ProviderFact): void {
    const amount = Number(fact.amount ?? 0);
    const object = fact.object_ref ?? '';
    switch (fact.type) {
      case 'authorised':
      case 'authorisation_adjusted':
        this.authorised = amount;
        this.failed = false;
        break;
      case 'authorisation_failed':
        this.failed = true;
        break;
      case 'captured':
        this.captures.set(object, amount);
        break;
      case 'capture_failed':
        this.captures.delete(object);
        break;
      case 'voided':
      case 'expired':
        this.released = fact.type;
        break;
      case 'refunded':
        this.refunds.set(object, amount);
        break;
      case 'refund_failed':
      case 'refund_reversed':
        this.refunds.delete(object);
        break;
      case 'settled':
        this.settled += amount;
        this.fees += Number(fact.fee ?? 0);
        break;
      default:
        this.#readDispute(fact, object, amount);
    }
  }

  #readDispute({ type, stage }: ProviderFact, object: string, amount: number): void {
    const dispute = this.disputes.get(object) ?? { amount, outcome: 'open', isMoney: false, fee: 0 };
    this.disputes.set(object, dispute);
    if (type === 'dispute_opened') dispute.isMoney = stage !== 'inquiry';
    else if (type === 'dispute_funds_withdrawn') dispute.funds = (dispute.funds ?? 0) + amount;
    else if (type === 'dispute_funds_reinstated') dispute.funds = (dispute.funds ?? 0) - amount;
    else if (type === 'dispute_fee') dispute.fee += amount;
    else dispute.outcome = type === 'dispute_won' ? 'won' : 'lost';
  }
}

const sum = (amounts: Iterable<number>): number => [...amounts].reduce((total, amount) => total + amount, 0);

export function endingOf({ facts, opening }: Life): Ending {
  const book = new Book();
  if (opening) book.authorised = Number(opening.amount);
  for (const fact of facts) book.read(fact);
  const captured = sum(book.captures.values());
  const refunded = sum(book.refunds.values());
  const { authorised } = book;
  const isOver = book.failed || book.released !== undefined;
  const capturable = isOver ? 0 : Math.max(0, authorised - captured);
  const disputes = [...book.disputes.values()].filter(({ isMoney }) => isMoney);
  const disputed = sum(disputes.map(({ amount, outcome }) => (outcome === 'won' ? 0 : amount)));
  return {
    shown: {
      status: statusOf(book, { captured, refunded, capturable }),
      authorised: book.failed ? 0 : authorised,
      capturable,
      captured,
      refunded,
      disputed,
      settled: book.settled,
    },
    posted: postedBy(book, captured - refunded, disputes),
    pending: { provider_receivable: capturable, merchant_payable: 0 - capturable },
  };
}

type Sums = Pick<Shown, 'captured' | 'refunded' | 'capturable'>;

function statusOf({ failed, released }: Book, { captured, refunded, capturable }: Sums): string {
  if (captured === 0) return failed ? 'failed' : (released ?? 'authorised');
  if (refunded === captured) return 'refunded';
  if (refunded > 0) return 'partially_refunded';
  return capturable > 0 ? 'partially_captured' : 'captured';
}

function postedBy(book: Book, kept: number, disputes: readonly Dispute[]): Ending['posted'] {
  const taken = sum(disputes.map(({ amount, outcome }) => (outcome === 'won' ? 0 : amount)));
  const gone = sum(disputes.map(({ amount, outcome, funds }) => funds ?? (outcome === 'lost' ? amount : 0)));
  const charged = sum(disputes.map(({ fee }) => fee));
  return {
    provider_receivable: kept - gone - charged - book.settled,
    merchant_payable: taken + charged - kept,
    dispute_reserve: gone - taken,
    provider_fees: book.fees,
    cash: book.settled - book.fees,
  };
}
