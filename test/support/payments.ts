import { randomUUID } from 'node:crypto';
import { SystemAccounts } from '#ledger/accounts/find-system-accounts.js';
import { systemAccounts } from '#ledger/accounts/system-accounts.js';
import { PAYMENT_ACCOUNTS } from '#payments/accounts.js';
import type { Fact, FactType } from '#payments/facts.js';
import { type NewPayment, OpenPaymentCommand, OpenPaymentHandler } from '#payments/payment.commands.js';
import { PaymentSubmissions } from '#payments/payment-submissions.js';
import type { ToldOutcome } from '#payments/provider-fact.js';
import { RecordFactsCommand, RecordFactsHandler } from '#payments/record-facts.command.js';
import type { PaymentsSettings } from '#payments/settings.js';
import type { TestLedger } from './ledger.js';

/** Payments of one process, without HTTP. */
export class TestPayments {
  readonly submissions: PaymentSubmissions;

  constructor(readonly ledger: TestLedger) {
    const settings = {
      overcapturePercent: 0,
      paymentFactsMax: 1_000,
      authorisationExpiryHours: 168,
      parkedFactMaxAgeHours: 168,
      paymentQueryScheduleS: [300, 3_600, 86_400] as readonly number[],
    } as PaymentsSettings;
    const accounts = new SystemAccounts(ledger.database, ledger.ids, ledger.directory);
    this.submissions = new PaymentSubmissions(ledger.writer, accounts, settings);
  }

  /** With its system accounts in euro. */
  async createMerchant(): Promise<bigint> {
    const merchantId = await this.ledger.createMerchant();
    for (const account of systemAccounts(['EUR'], () => this.ledger.ids.next())) {
      await this.ledger.createAccount(merchantId, account);
    }
    return merchantId;
  }

  /** What the merchant's payments stand on. */
  async accountIds(merchantId: bigint): Promise<bigint[]> {
    const refs = PAYMENT_ACCOUNTS.map((name) => ({ code: `${name}:EUR` }));
    const found = await this.ledger.directory.find(merchantId, refs, this.ledger.context(merchantId).deadline);
    return found.flatMap((account) => account?.id ?? []);
  }

  async open(merchantId: bigint, more: Partial<NewPayment> = {}): Promise<string> {
    const payment: NewPayment = { amount: 1_000n, currency: 'EUR', capture: 'manual', provider: 'acme', ...more };
    const idempotency = { key: randomUUID(), requestSha256: Buffer.alloc(32, 1) };
    const command = new OpenPaymentCommand(this.ledger.context(merchantId), payment, idempotency);
    const { result } = await new OpenPaymentHandler(this.submissions, this.ledger.ids).execute(command);
    if ('refusal' in result) throw new Error(`refused: ${result.refusal.detail}`);
    return result.answer.id;
  }

  async tell(merchantId: bigint, paymentRef: string, ...facts: Fact[]): Promise<readonly ToldOutcome[]> {
    const told = facts.map((fact) => ({ provider: 'acme', paymentRef, eventId: fact.id, fact }));
    const command = new RecordFactsCommand(this.ledger.context(merchantId), told);
    return (await new RecordFactsHandler(this.submissions).execute(command)).outcomes;
  }
}

/** One that a provider tells, of all of a payment of 10 euro. */
export function factOf(type: FactType, more: Partial<Fact> = {}): Fact {
  const defaults = { amount: 1_000n, currency: 'EUR', amountKind: 'delta', occurredAtMs: Date.now() } as const;
  return { id: randomUUID(), source: 'provider', type, ...defaults, ...more };
}
