import { Inject, Injectable } from '@nestjs/common';
import { FeePlans } from '#fees/fee-plans.js';
import { planAt } from '#fees/spans.js';
import { systemClock } from '#kernel/clock.js';
import { ProblemError } from '#kernel/problem.js';
import type { Account } from '#ledger/accounts/account.js';
import { SystemAccounts } from '#ledger/accounts/find-system-accounts.js';
import { extended, type Outcome } from '#ledger/writing/group-extension.js';
import { Writer } from '#ledger/writing/writer.js';
import type { Idempotency } from '#platform/idempotency.js';
import { CONFIG } from '#platform/platform.module.js';
import type { RequestContext } from '#platform/request-context.js';
import type { PayoutPart, RequestPayout, TellPayout } from './payout-part.js';
import type { PayoutTimes } from './payout-timers.js';
import { PAYOUTS } from './payouts-extension.js';
import type { PayoutsSettings } from './settings.js';
import { PAYOUT_ACCOUNTS, type PayoutAccount } from './status.js';

const DAY_MS = 86_400_000;

/** Brings what is asked and told of payouts into commit groups. */
@Injectable()
export class PayoutSubmissions {
  constructor(
    private readonly writer: Writer,
    private readonly system: SystemAccounts,
    private readonly plans: FeePlans,
    @Inject(CONFIG) private readonly config: PayoutsSettings,
  ) {}

  /** At what the merchant's plan asks for it now. */
  async request(
    context: RequestContext,
    ask: Omit<RequestPayout, 'rules'>,
    idempotency: Idempotency,
  ): Promise<Outcome> {
    const spans = await this.plans.spansOf([context.merchantId], context.deadline);
    const plan = planAt(spans.get(context.merchantId) ?? [], systemClock.now());
    return this.#submit(context, ask.currency, { ...ask, rules: plan?.rules ?? [] }, idempotency);
  }

  tell(context: RequestContext, currency: string, ask: TellPayout): Promise<Outcome> {
    return this.#submit(context, currency, ask, undefined);
  }

  async #submit(
    context: RequestContext,
    currency: string,
    ask: PayoutPart['ask'],
    idempotency: Idempotency | undefined,
  ): Promise<Outcome> {
    const found = await this.system.find(context, currency, PAYOUT_ACCOUNTS);
    if (!found) throw new ProblemError('currency_mismatch', `The merchant has no accounts in ${currency}.`);
    const named = Object.fromEntries(PAYOUT_ACCOUNTS.map((name, index) => [name, found[index]]));
    const accounts = named as Record<PayoutAccount, Account>;
    const part: PayoutPart = { accounts, times: payoutTimesOf(this.config), ask };
    const { outcome } = await this.writer.post(context, {
      mode: 'single',
      idempotency,
      commands: [extended(PAYOUTS, part)],
      accounts: new Map(found.map((account) => [account.id, account])),
    });
    return outcome;
  }
}

export function payoutTimesOf({ payoutAskScheduleS, payoutWatchDays }: PayoutsSettings): PayoutTimes {
  return { askScheduleMs: payoutAskScheduleS.map((age) => age * 1_000), watchMs: payoutWatchDays * DAY_MS };
}
