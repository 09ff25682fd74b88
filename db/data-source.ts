import { DataSource } from 'typeorm';
import { Ledger1763740000000 } from './migrations/1763740000000-ledger.js';
import { Relay1763750000000 } from './migrations/1763750000000-relay.js';
import { DailySummaries1763755000000 } from './migrations/1763755000000-daily-summaries.js';
import { Webhooks1763760000000 } from './migrations/1763760000000-webhooks.js';
import { Rebuilds1763765000000 } from './migrations/1763765000000-rebuilds.js';
import { TransactionFacts1764100000000 } from './migrations/1764100000000-transaction-facts.js';
import { AmountsLeft1764100000001 } from './migrations/1764100000001-amounts-left.js';
import {
  BackDatedVersions1764200000000,
  FillBackDatedVersions1764200000001,
} from './migrations/1764200000000-back-dated-versions.js';
import { MerchantTimeZones1764201000000 } from './migrations/1764201000000-merchant-time-zones.js';
import { WebhookOrdering1764300000000 } from './migrations/1764300000000-webhook-ordering.js';
import { ForgottenConsumers1764400000000 } from './migrations/1764400000000-forgotten-consumers.js';
import { LogEpochs1764410000000 } from './migrations/1764410000000-log-epochs.js';
import { MovedBalances1764500000000 } from './migrations/1764500000000-moved-balances.js';
import { Rights1764500100000 } from './migrations/1764500100000-rights.js';
import { EventPlaces1764500200000 } from './migrations/1764500200000-event-places.js';
import { ClosedBalances1764500300000 } from './migrations/1764500300000-closed-balances.js';
import { MerchantLocks1764502000000 } from './migrations/1764502000000-merchant-locks.js';
import {
  DueRows1764504000000,
  FillDueRows1764504000001,
  HoldsAreDueRows1764504000002,
} from './migrations/1764504000000-due-rows.js';
import { PartitionOf1764504100000 } from './migrations/1764504100000-partition-of.js';
import { Adjustments1764600000000, ValidateAdjustments1764600000001 } from './migrations/1764600000000-adjustments.js';
import { ProviderFees1764600100000 } from './migrations/1764600100000-provider-fees.js';
import { Payments1764610000000 } from './migrations/1764610000000-payments.js';
import { FactsAppliedBefore1764610100000 } from './migrations/1764610100000-facts-applied-before.js';
import { ProviderInbox1764620000000 } from './migrations/1764620000000-provider-inbox.js';
import { PaymentTimers1764630000000 } from './migrations/1764630000000-payment-timers.js';
import { Fees1764700000000 } from './migrations/1764700000000-fees.js';
import { Settlements1764710000000 } from './migrations/1764710000000-settlements.js';
import { FillPayableItems1764715000001, NetItems1764715000000 } from './migrations/1764715000000-payable-items.js';
import { Payouts1764720000000 } from './migrations/1764720000000-payouts.js';
import { JobRuns1764730000000 } from './migrations/1764730000000-job-runs.js';
import { RunTotals1764730100000 } from './migrations/1764730100000-run-totals.js';
import { SchedulesWithoutDestination1764735000000 } from './migrations/1764735000000-schedules-without-destination.js';
import { VersionsTakenBack1764735100000 } from './migrations/1764735100000-versions-taken-back.js';
import { ForgetRuns1764736000000 } from './migrations/1764736000000-forget-runs.js';
import { Reconciliation1764800000000 } from './migrations/1764800000000-reconciliation.js';
import { MatchingIndexes1764800200000 } from './migrations/1764800200000-matching-indexes.js';
import { InternalReports1764800400000 } from './migrations/1764800400000-internal-reports.js';
import { OperatorKeys1764810000000 } from './migrations/1764810000000-operator-keys.js';
import { BreaksOfRows1764910100000 } from './migrations/1764910100000-breaks-of-rows.js';
import { ForgetReports1764920100000 } from './migrations/1764920100000-forget-reports.js';
import { OperatorIdentities1764920200000 } from './migrations/1764920200000-operator-identities.js';
import { ProviderAccounts1764920300000 } from './migrations/1764920300000-provider-accounts.js';
import { MatchingLookups1764930100000 } from './migrations/1764930100000-matching-lookups.js';
import { MerchantLimits1765000100000 } from './migrations/1765000100000-merchant-limits.js';
import { MerchantUsage1765010100000 } from './migrations/1765010100000-merchant-usage.js';
import { LocksWithin1765020100000 } from './migrations/1765020100000-locks-within.js';
import { MerchantsApart1765020100100 } from './migrations/1765020100100-merchants-apart.js';
import { EpochOfEachStart1765040100000 } from './migrations/1765040100000-epoch-of-each-start.js';
import { TraceContexts1765050310000 } from './migrations/1765050310000-trace-contexts.js';

/** Every migration, oldest first. Listed by hand: a glob would find TypeScript or JavaScript depending on who runs. */
export const MIGRATIONS = [
  Ledger1763740000000,
  Relay1763750000000,
  DailySummaries1763755000000,
  Webhooks1763760000000,
  Rebuilds1763765000000,
  TransactionFacts1764100000000,
  AmountsLeft1764100000001,
  BackDatedVersions1764200000000,
  FillBackDatedVersions1764200000001,
  MerchantTimeZones1764201000000,
  WebhookOrdering1764300000000,
  ForgottenConsumers1764400000000,
  LogEpochs1764410000000,
  MovedBalances1764500000000,
  Rights1764500100000,
  EventPlaces1764500200000,
  ClosedBalances1764500300000,
  MerchantLocks1764502000000,
  DueRows1764504000000,
  FillDueRows1764504000001,
  HoldsAreDueRows1764504000002,
  PartitionOf1764504100000,
  Adjustments1764600000000,
  ValidateAdjustments1764600000001,
  ProviderFees1764600100000,
  Payments1764610000000,
  FactsAppliedBefore1764610100000,
  ProviderInbox1764620000000,
  PaymentTimers1764630000000,
  Fees1764700000000,
  Settlements1764710000000,
  NetItems1764715000000,
  FillPayableItems1764715000001,
  Payouts1764720000000,
  JobRuns1764730000000,
  RunTotals1764730100000,
  SchedulesWithoutDestination1764735000000,
  VersionsTakenBack1764735100000,
  ForgetRuns1764736000000,
  Reconciliation1764800000000,
  MatchingIndexes1764800200000,
  InternalReports1764800400000,
  OperatorKeys1764810000000,
  BreaksOfRows1764910100000,
  ForgetReports1764920100000,
  OperatorIdentities1764920200000,
  ProviderAccounts1764920300000,
  MatchingLookups1764930100000,
  MerchantLimits1765000100000,
  MerchantUsage1765010100000,
  LocksWithin1765020100000,
  MerchantsApart1765020100100,
  EpochOfEachStart1765040100000,
  TraceContexts1765050310000,
];

export const MIGRATIONS_TABLE = 'schema_migrations';

const CONNECT_TIMEOUT_MS = 5_000;

/** A connection as the owner, for migrations alone. `statementTimeoutMs` bounds each statement, a migration's included. */
export function migrationDataSource(ownerUrl: string, statementTimeoutMs: number): DataSource {
  return new DataSource({
    type: 'postgres',
    url: ownerUrl,
    applicationName: 'counterfoil-migrate',
    migrations: MIGRATIONS,
    migrationsTableName: MIGRATIONS_TABLE,
    migrationsTransactionMode: 'each',
    installExtensions: false,
    connectTimeoutMS: CONNECT_TIMEOUT_MS,
    poolSize: 1,
    extra: { statement_timeout: statementTimeoutMs, keepAlive: true },
  });
}
