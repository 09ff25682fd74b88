import { Inject, Module } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { dutiesOf, failuresOf, type NamedWork } from '#platform/due-duties.js';
import type { DutyPlan } from '#platform/duty.js';
import type { Logger } from '#platform/logging.js';
import type { Metrics } from '#platform/metrics.js';
import { CONFIG, LOGGER } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import type { BringsDuties, BringsMetrics } from '#platform/room-hooks.js';
import { BankClient } from './bank-client.js';
import { PayoutSaga } from './payout-saga.js';
import { payoutTimesOf } from './payout-submissions.js';
import type { PayoutsSettings } from './settings.js';
import { UnansweredPayouts } from './unanswered-payouts.js';

const LOOK_INTERVAL_MS = 10_000;

/** Tells the bank what to pay, and asks it what it has paid. */
@Module({})
export class PayoutsWorkerModule implements BringsDuties, BringsMetrics {
  readonly #saga: PayoutSaga;
  readonly #unanswered: UnansweredPayouts;
  readonly #work: NamedWork;

  constructor(
    @Inject(CONFIG) private readonly config: PayoutsSettings,
    @Inject(LOGGER) logger: Logger,
    database: Database,
    commands: CommandBus,
  ) {
    const bank = bankOf(config, logger);
    const options = { ...payoutTimesOf(config), concurrency: config.payoutConcurrency };
    this.#saga = new PayoutSaga({ database, commands, bank, logger }, options);
    this.#work = {
      'advance payouts': this.#saga.onTheWay,
      'watch payouts': this.#saga.watched,
      'follow the bank’s callbacks': this.#saga.hinted,
    };
    this.#unanswered = new UnansweredPayouts(database);
  }

  duties(): readonly DutyPlan[] {
    const { config } = this;
    const intervalMs = config.payoutPollMs;
    const count = { name: 'count payouts', intervalMs: LOOK_INTERVAL_MS, round: () => this.#unanswered.look() };
    return [...dutiesOf(this.#work, intervalMs), ...(config.metricsPort === 0 ? [] : [count])];
  }

  addMetrics(metrics: Metrics): void {
    this.#unanswered.addMetrics(metrics);
    metrics.counter(
      'counterfoil_bank_requests_total',
      'Requests to the bank by what came of them; unknown: it has not answered.',
      () =>
        Object.entries(this.#saga.requests).flatMap(([request, outcomes]) =>
          Object.entries(outcomes).map(([outcome, count]) => [{ request, outcome }, count] as const),
        ),
    );
    metrics.counter('counterfoil_payout_failures_total', 'Turns of payouts that failed, and are tried again.', () =>
      failuresOf(this.#work),
    );
  }
}

function bankOf({ bankUrl, bankSecret, bankTimeoutMs }: PayoutsSettings, logger: Logger): BankClient | undefined {
  if (bankUrl === undefined || bankSecret === undefined) return undefined;
  return new BankClient({ url: bankUrl, secret: bankSecret, timeoutMs: bankTimeoutMs }, logger);
}
