import { randomUUID } from 'node:crypto';
import { FeePlans } from '#fees/fee-plans.js';
import { SystemAccounts } from '#ledger/accounts/find-system-accounts.js';
import { answeredReply } from '#ledger/writing/answered-reply.js';
import type { RequestedPayoutBody } from '#payouts/payout-body.js';
import { PayoutSubmissions } from '#payouts/payout-submissions.js';
import type { PayoutsSettings } from '#payouts/settings.js';
import type { BankWord } from '#payouts/status.js';
import { entitiesOn } from './entities.js';
import type { TestLedger } from './ledger.js';

/** Payouts of one process, without HTTP and without a bank. */
export class TestPayouts {
  private constructor(
    private readonly ledger: TestLedger,
    private readonly submissions: PayoutSubmissions,
  ) {}

  static async of(ledger: TestLedger): Promise<TestPayouts> {
    const { database, ids, directory, writer } = ledger;
    const settings = { payoutAskScheduleS: [30], payoutWatchDays: 30 } as unknown as PayoutsSettings;
    const plans = new FeePlans(database, await entitiesOn(database));
    const accounts = new SystemAccounts(database, ids, directory);
    return new TestPayouts(ledger, new PayoutSubmissions(writer, accounts, plans, settings));
  }

  /** Of all that is settled, unless it is told of how much. */
  async request(merchantId: bigint, amount?: bigint): Promise<bigint> {
    const ask = { kind: 'request', amount, currency: 'EUR', destination: 'bank_ok', mayBeNothing: false } as const;
    const idempotency = { key: randomUUID(), requestSha256: Buffer.alloc(32, 1) };
    const outcome = await this.submissions.request(this.ledger.context(merchantId), ask, idempotency);
    const { result } = answeredReply<RequestedPayoutBody>(outcome);
    if ('refusal' in result) throw new Error(`refused: ${result.refusal.detail}`);
    return BigInt(result.answer.id);
  }

  tell(merchantId: bigint, id: bigint, word: BankWord, sequence: number) {
    const said = { kind: 'tell', id, word, sequence, reference: 'B-1', failureCode: undefined } as const;
    return this.submissions.tell(this.ledger.context(merchantId), 'EUR', said);
  }
}
