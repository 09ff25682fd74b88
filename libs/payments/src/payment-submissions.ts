import { Inject, Injectable } from '@nestjs/common';
import { SystemAccounts } from '#ledger/accounts/find-system-accounts.js';
import { extended, type Outcome } from '#ledger/writing/group-extension.js';
import { Writer } from '#ledger/writing/writer.js';
import type { Idempotency } from '#platform/idempotency.js';
import { CONFIG } from '#platform/platform.module.js';
import type { RequestContext } from '#platform/request-context.js';
import { PAYMENT_ACCOUNTS, type PaymentAccount } from './accounts.js';
import type { FactType } from './facts.js';
import { accountsOf, type NamedAccounts, nameAccounts } from './payment-accounts.js';
import type { PaymentOptions, PaymentPart } from './payment-part.js';
import { PAYMENTS } from './payments-extension.js';
import { NeedsAccounts } from './posted-difference.js';
import type { PaymentsSettings } from './settings.js';
import type { TimerOptions } from './timers/timer-options.js';

/** What is to be decided of one payment, and what it probably moves money on. */
export interface AskedOfPayment extends Pick<PaymentPart, 'subject' | 'ask'> {
  readonly types: readonly FactType[];
  readonly currency: string | undefined;
}

const HOUR_MS = 3_600_000;

type Wanted = Map<string, readonly PaymentAccount[]>;

interface How {
  readonly mode: 'single' | 'independent';
  readonly idempotency: Idempotency | undefined;
}

interface Submitting extends How {
  readonly asked: readonly AskedOfPayment[];
  readonly wanted: Wanted;
  readonly accounts: NamedAccounts;
}

const ALONE: How = { mode: 'single', idempotency: undefined };

/** Brings what is asked and told of payments into commit groups. */
@Injectable()
export class PaymentSubmissions {
  constructor(
    private readonly writer: Writer,
    private readonly system: SystemAccounts,
    @Inject(CONFIG) private readonly config: PaymentsSettings,
  ) {}

  /** Together, under one key if there is one. */
  async submit(context: RequestContext, asked: readonly AskedOfPayment[], how: How): Promise<Outcome> {
    const wanted = usualAccounts(asked);
    return this.#submit(context, { asked, wanted, accounts: await nameAccounts(this.system, context, wanted), ...how });
  }

  /** Each for itself, and side by side, so that they fill commit groups. A merchant's are decided in their order. */
  async submitEach(
    context: RequestContext,
    asked: readonly AskedOfPayment[],
  ): Promise<PromiseSettledResult<Outcome>[]> {
    const all = await nameAccounts(this.system, context, usualAccounts(asked));
    return Promise.allSettled(
      asked.map((one) => {
        const wanted = usualAccounts([one]);
        return this.#submit(context, { asked: [one], wanted, accounts: pick(all, wanted), ...ALONE });
      }),
    );
  }

  /**
   * With the accounts that the facts usually move money on. Where they free others, or do not tell their currency, the group says so
   * and has written nothing of it; then all accounts of that currency are named. Each turn adds a currency of the facts. Whoever
   * waits for nothing before is in the writer's line when this returns.
   */
  async #submit(context: RequestContext, { asked, wanted, ...rest }: Submitting): Promise<Outcome> {
    const { mode, idempotency } = rest;
    for (let { accounts } = rest; ; accounts = await nameAccounts(this.system, context, wanted)) {
      try {
        const commands = asked.map(({ subject, ask }) => extended(PAYMENTS, this.#part({ subject, ask, accounts })));
        const request = { mode, idempotency, commands, accounts: accounts.accounts };
        return (await this.writer.post(context, request)).outcome;
      } catch (error) {
        if (!(error instanceof NeedsAccounts)) throw error;
        for (const currency of error.currencies) wanted.set(currency, PAYMENT_ACCOUNTS);
      }
    }
  }

  #part(part: Pick<PaymentPart, 'subject' | 'ask'> & { accounts: NamedAccounts }): PaymentPart {
    return { ...part, options: optionsOf(this.config) };
  }
}

export function timerOptionsOf(config: PaymentsSettings): TimerOptions {
  return {
    overcapturePercent: config.overcapturePercent,
    parkedMaxAgeMs: config.parkedFactMaxAgeHours * HOUR_MS,
    queryScheduleMs: config.paymentQueryScheduleS.map((age) => age * 1_000),
  };
}

function optionsOf(config: PaymentsSettings): PaymentOptions {
  return {
    ...timerOptionsOf(config),
    factsMax: config.paymentFactsMax,
    authorisationExpiryMs: config.authorisationExpiryHours * HOUR_MS,
  };
}

function usualAccounts(asked: readonly AskedOfPayment[]): Wanted {
  const wanted: Wanted = new Map();
  for (const { currency, types } of asked) {
    if (currency === undefined) continue;
    const names = [...(wanted.get(currency) ?? []), ...types.flatMap(accountsOf)];
    wanted.set(currency, [...new Set(names)]);
  }
  return wanted;
}

/** What a submission names is locked: no more of it than it needs. */
function pick({ accounts, idOf, lacking }: NamedAccounts, wanted: Wanted): NamedAccounts {
  const codes = [...wanted].flatMap(([currency, names]) => names.map((name) => `${name}:${currency}`));
  const picked = new Map(
    codes.flatMap((code) => [[code, idOf.get(code)] as const].filter(([, id]) => id !== undefined)),
  );
  return {
    idOf: picked as Map<string, bigint>,
    accounts: new Map([...accounts].filter(([, { code }]) => picked.has(code))),
    lacking,
  };
}
