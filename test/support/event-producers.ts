import { ChangeAccountStatusCommand, ChangeAccountStatusHandler } from '#ledger/accounts/account-status.command.js';
import type { NewAccount } from '#ledger/accounts/account-store.js';
import { CreateAccountCommand, CreateAccountHandler } from '#ledger/accounts/create-account.command.js';
import { openMissingSystemAccounts } from '#ledger/accounts/flawed-system-accounts.js';
import type { EventType } from '#outbox/log/catalogue.js';
import { FACT_TYPES, type Fact, type FactType } from '#payments/facts.js';
import { SetProviderSecretCommand, SetProviderSecretHandler } from '#payments/providers/provider-secret.commands.js';
import { Deadline } from '#platform/deadline.js';
import {
  ActOnBreakCommand,
  ActOnBreakHandler,
  type BreakRequest,
} from '#reconciliation/breaks/act-on-break.command.js';
import { listBreaks } from '#reconciliation/breaks/break-store.js';
import { closeReport } from '#reconciliation/closing/close-report.js';
import { ReportMatcher } from '#reconciliation/jobs/report-matcher.js';
import { insertReport, markReceived } from '#reconciliation/receiving/staging-store.js';
import {
  type CreatedMerchant,
  CreateMerchantCommand,
  CreateMerchantHandler,
} from '#tenancy/create-merchant.command.js';
import { ENVIRONMENT_OPERATOR, type Operator } from '#tenancy/operator.js';
import { TimeZones } from '#tenancy/time-zones.js';
import { DeliveryStore } from '#webhooks/delivery-store.js';
import {
  DeleteWebhookEndpointCommand,
  DeleteWebhookEndpointHandler,
  EnableWebhookEndpointCommand,
  EnableWebhookEndpointHandler,
} from '#webhooks/endpoint.commands.js';
import type { WebhookEndpoint } from '#webhooks/endpoint-store.js';
import { adjustedId, moved, submitAdjustment } from './adjustments.js';
import type { Bystander } from './bystander.js';
import { entitiesOn } from './entities.js';
import { postedId, type TestLedger, transfer } from './ledger.js';
import { TestMatching } from './matching.js';
import { factOf, TestPayments } from './payments.js';
import { TestSettlement } from './settlement.js';
import { TestPayouts } from './test-payouts.js';
import { until } from './until.js';
import { asItIs, NO_REDIS, type TestWebhooks } from './webhooks.js';

export interface Stage {
  hooks: TestWebhooks;
  bystander: Bystander;
}

/** Everything that is needed first is there; `act` commits events of one type and of no other, to the merchant's log. */
interface Ready {
  merchantId: bigint;
  act: () => Promise<unknown>;
}

export interface Producer {
  /** Where the merchant's lock is taken. */
  file: string;
  /** The type of the events that `act` commits before its own, in the same transaction. */
  beside?: EventType;
  prepare: (stage: Stage) => Promise<Ready>;
}

const BREAKS = 'libs/reconciliation/src/matching/behind-lock.ts';
const WRITER = 'libs/ledger/src/writing/group-store.ts';
const PROVIDER_SECRETS = 'libs/payments/src/providers/provider-secret.commands.ts';
const ENDPOINTS = 'libs/webhooks/src/endpoint.commands.ts';
const URL = 'https://example.com/hooks';
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** Of every type in the catalogue, whoever appends it. A type or a file without a line here fails. */
export const PRODUCERS: Readonly<Record<EventType, readonly Producer[]>> = {
  'account.created': [
    { file: 'libs/ledger/src/accounts/create-account.command.ts', prepare: openingAccount },
    { file: 'libs/tenancy/src/create-merchant.command.ts', prepare: openingMerchant },
    { file: 'libs/ledger/src/accounts/flawed-system-accounts.ts', prepare: openingSystemAccounts },
  ],
  'account.closed': [{ file: WRITER, prepare: (stage) => changing(stage, 'close') }],
  'account.reopened': [{ file: WRITER, prepare: (stage) => changing(stage, 'reopen') }],
  'transaction.posted': [{ file: WRITER, prepare: (stage) => posting(stage, false) }],
  'transaction.pending': [{ file: WRITER, prepare: (stage) => posting(stage, true) }],
  'transaction.voided': [{ file: WRITER, prepare: (stage) => releasing(stage, 'void') }],
  'transaction.expired': [{ file: WRITER, prepare: (stage) => releasing(stage, 'expire') }],
  'transaction.adjusted': [{ file: WRITER, prepare: adjusting }],
  ...paymentProducers(),
  'payout.paid': [answering('paid')],
  'payout.failed': [answering('failed')],
  'payout.returned': [answering('returned')],
  'settlement.posted': [{ file: WRITER, prepare: settling }],
  'reconciliation.completed': [{ file: 'libs/reconciliation/src/jobs/report-matcher.ts', prepare: reconciling }],
  'break.opened': [{ file: BREAKS, prepare: opening }],
  'break.resolved': [
    { file: BREAKS, prepare: ending },
    { file: WRITER, prepare: approving },
  ],
  'provider.secret_changed': [{ file: PROVIDER_SECRETS, prepare: settingSecret }],
  'webhook_endpoint.created': [{ file: ENDPOINTS, prepare: registering }],
  'webhook_endpoint.secret_rotated': [{ file: ENDPOINTS, prepare: rotating }],
  'webhook_endpoint.enabled': [{ file: ENDPOINTS, prepare: enabling }],
  'webhook_endpoint.deleted': [{ file: ENDPOINTS, prepare: deleting }],
  'webhook_endpoint.disabled': [{ file: 'libs/webhooks/src/delivery-store.ts', prepare: disabling }],
};

async function openingAccount({ hooks }: Stage): Promise<Ready> {
  const merchantId = await hooks.ledger.createMerchant();
  const account = { code: 'a', name: 'A', currency: 'EUR', normalSide: 'credit', minAvailable: null } as const;
  const command = new CreateAccountCommand(hooks.context(merchantId), account, asItIs<NewAccount>());
  return { merchantId, act: () => new CreateAccountHandler(hooks.requests, hooks.ids).execute(command) };
}

/** Those that a merchant of an earlier release lacks. */
async function openingSystemAccounts({ hooks: { ledger } }: Stage): Promise<Ready> {
  const merchantId = await ledger.createMerchant();
  await ledger.createAccount(merchantId, { code: 'cash:EUR', normalSide: 'debit' });
  return { merchantId, act: () => openMissingSystemAccounts(ledger, merchantId, Deadline.after(60_000)) };
}

/** What has to be known of a payment before a fact of the type says something new. */
const BEFORE: Readonly<Record<FactType, readonly FactType[] | 'a request'>> = {
  authorised: [],
  authorisation_adjusted: ['authorised'],
  authorisation_failed: 'a request',
  captured: ['authorised'],
  capture_failed: ['authorised', 'captured'],
  voided: ['authorised'],
  expired: ['authorised'],
  refunded: ['authorised', 'captured'],
  refund_failed: ['authorised', 'captured', 'refunded'],
  refund_reversed: ['authorised', 'captured', 'refunded'],
  dispute_opened: ['authorised', 'captured'],
  dispute_funds_withdrawn: ['authorised', 'captured', 'dispute_opened'],
  dispute_funds_reinstated: ['authorised', 'captured', 'dispute_opened'],
  dispute_won: ['authorised', 'captured', 'dispute_opened'],
  dispute_lost: ['authorised', 'captured', 'dispute_opened'],
  dispute_fee: ['authorised', 'captured', 'dispute_opened'],
  settled: ['authorised', 'captured'],
};

function paymentProducers(): Readonly<Record<`payment.${FactType}`, readonly Producer[]>> {
  const rows = FACT_TYPES.map((type) => {
    const producer: Producer = {
      file: WRITER,
      beside: 'transaction.adjusted',
      prepare: (stage: Stage) => telling(stage, type),
    };
    return [`payment.${type}`, [producer]];
  });
  return Object.fromEntries(rows) as Readonly<Record<`payment.${FactType}`, readonly Producer[]>>;
}

async function telling({ hooks: { ledger } }: Stage, type: FactType): Promise<Ready> {
  const payments = new TestPayments(ledger);
  const merchantId = await payments.createMerchant();
  const before = BEFORE[type];
  if (before === 'a request') await payments.open(merchantId, { providerRef: 'ref' });
  else await payments.tell(merchantId, 'ref', ...before.map((one) => factOf(one)));
  const more: Partial<Fact> = type === 'authorisation_adjusted' ? { amount: 1_500n } : {};
  const fact = factOf(type, type === 'dispute_fee' ? { fee: 15n } : more);
  return { merchantId, act: () => payments.tell(merchantId, 'ref', fact) };
}

/** The bank's word of a payout that it took, or that it paid. */
function answering(status: 'paid' | 'failed' | 'returned'): Producer {
  const prepare = async ({ hooks: { ledger }, bystander }: Stage): Promise<Ready> => {
    const merchantId = await new TestPayments(ledger).createMerchant();
    await bystander.client.query(`INSERT INTO settled_balances VALUES ($1, 'EUR', 900)`, [merchantId]);
    const payouts = await TestPayouts.of(ledger);
    const id = await payouts.request(merchantId);
    const before = status === 'returned' ? (['accepted', 'paid'] as const) : (['accepted'] as const);
    for (const [index, word] of before.entries()) await payouts.tell(merchantId, id, word, index + 1);
    return { merchantId, act: () => payouts.tell(merchantId, id, status, before.length + 1) };
  };
  return { file: WRITER, beside: 'transaction.adjusted', prepare };
}

/** Its id is known beforehand, so that another process can append to its log as well. */
async function openingMerchant({ hooks }: Stage): Promise<Ready> {
  const merchantId = hooks.ids.next();
  const issued = [merchantId];
  const ids = { next: () => issued.shift() ?? hooks.ids.next() } as typeof hooks.ids;
  const merchant = { name: 'M', timeZone: 'UTC', settlementCutoff: '00:00', currencies: ['EUR'], feePlanId: undefined };
  const command = new CreateMerchantCommand(hooks.context(merchantId), merchant, asItIs<CreatedMerchant>());
  const { requests, database } = hooks;
  const handler = new CreateMerchantHandler(requests, ids, new TimeZones(database), await entitiesOn(database));
  return { merchantId, act: () => handler.execute(command) };
}

async function changing({ hooks }: Stage, change: 'close' | 'reopen'): Promise<Ready> {
  const { ledger } = hooks;
  const merchantId = await ledger.createMerchant();
  const account = await ledger.createAccount(merchantId, { code: 'a' });
  const handler = new ChangeAccountStatusHandler(ledger.writer, ledger.directory);
  const act = (to: 'close' | 'reopen') =>
    handler.execute(new ChangeAccountStatusCommand(hooks.context(merchantId), account, to, undefined));
  if (change === 'reopen') await act('close');
  return { merchantId, act: () => act(change) };
}

async function posting({ hooks: { ledger } }: Stage, pending: boolean): Promise<Ready> {
  const merchantId = await ledger.createMerchant();
  const from = await ledger.createAccount(merchantId, { code: 'from' });
  const to = await ledger.createAccount(merchantId, { code: 'to' });
  const more = pending ? { pending, expiresAtMs: Date.now() + HOUR_MS } : {};
  return { merchantId, act: async () => postedId(await ledger.post(merchantId, transfer(from, to, 1n, more))) };
}

async function adjusting({ hooks: { ledger } }: Stage): Promise<Ready> {
  const merchantId = await ledger.createMerchant();
  const from = await ledger.createAccount(merchantId, { code: 'from' });
  const to = await ledger.createAccount(merchantId, { code: 'to' });
  const act = async () =>
    adjustedId(await submitAdjustment(ledger, ledger.context(merchantId), moved(from, to, 1n, 1n)));
  return { merchantId, act };
}

async function releasing(stage: Stage, kind: 'void' | 'expire'): Promise<Ready> {
  const { merchantId, act } = await posting(stage, true);
  const parentId = (await act()) as bigint;
  if (kind === 'expire') await makeDue(stage, parentId);
  return { merchantId, act: async () => postedId(await stage.hooks.ledger.change(merchantId, { kind, parentId })) };
}

/** Nobody may ask for a hold whose time is over: this one's is moved by the owner of the tables. */
async function makeDue({ bystander }: Stage, id: bigint): Promise<void> {
  const atMs = Date.now();
  await bystander.client.query(`UPDATE transactions SET expires_at = to_timestamp($1::float8 / 1000) WHERE id = $2`, [
    atMs,
    id,
  ]);
  await until('the hold is due', () => Date.now() > atMs);
}

/** Without fees: nothing is posted beside it. */
async function settling({ hooks: { ledger } }: Stage): Promise<Ready> {
  const settlement = await TestSettlement.of(ledger);
  const merchantId = await settlement.createMerchant();
  const atMs = Date.now() - 2 * DAY_MS;
  await settlement.happen(merchantId, { kind: 'other', amount: 1n, atMs });
  return { merchantId, act: () => settlement.settle([merchantId], new Date(atMs).toISOString().slice(0, 10)) };
}

/** A report's row of which the ledger knows nothing. */
async function opening({ hooks: { ledger } }: Stage): Promise<Ready> {
  const matching = TestMatching.of(ledger);
  const merchantId = await ledger.createMerchant();
  const report = await matching.stage(merchantId, [{ line: 1, ref: 'P', gross: 1 }]);
  return { merchantId, act: () => matching.match(report) };
}

/** Somebody has proposed to write such a break off, and another operator approves it. */
async function approving(stage: Stage): Promise<Ready> {
  const { merchantId, act } = await opening(stage);
  await act();
  const { ledger } = stage.hooks;
  const [found] = await listBreaks(
    ledger.database,
    merchantId,
    { beforeId: undefined, limit: 1 },
    Deadline.after(60_000),
  );
  const named = { breakId: BigInt(found?.id ?? 0), reconciliationId: undefined };
  const handler = new ActOnBreakHandler(ledger.database, ledger.directory, ledger.writer);
  const by = async (operator: Operator, request: BreakRequest) =>
    handler.execute(new ActOnBreakCommand(ledger.context(merchantId), operator, named, request, undefined));
  const keyId = await insertOperatorKey(ledger);
  await by({ keyId, name: 'ada', responsible: 'ada' }, { action: 'propose', what: 'write_off', reason: 'x' });
  return { merchantId, act: () => by(ENVIRONMENT_OPERATOR, { action: 'approve' }) };
}

async function insertOperatorKey({ database, ids }: TestLedger): Promise<bigint> {
  const id = ids.next();
  const text = `INSERT INTO operator_keys (id, created_at, name, secret_sha256, created_by, responsible)
    VALUES ($1, snowflake_time($1), $1::bigint::text, sha256($1::bigint::text::bytea), 'environment', 'ada')`;
  await database.transaction('platform', Deadline.after(60_000), (client) => client.query({ text, values: [id] }));
  return id;
}

/** The payment of such a row turns up. */
async function ending(stage: Stage): Promise<Ready> {
  const { merchantId, act } = await opening(stage);
  await act();
  const matching = TestMatching.of(stage.hooks.ledger);
  await matching.pay(merchantId, { ref: 'P', captures: [{ amount: 1 }] });
  const report = await matching.stage(merchantId, []);
  return { merchantId, act: () => closeReport(matching.matching, report, () => Deadline.after(60_000)) };
}

/** A report without a row. */
async function reconciling({ hooks: { ledger, database, ids } }: Stage): Promise<Ready> {
  const merchantId = await ledger.createMerchant();
  const id = ids.next();
  const stepDeadline = () => Deadline.after(60_000);
  const report = { merchantId, id, source: 'generic', askedBy: 'environment', slaDays: 3 };
  const times = { periodFromMs: undefined, periodToMs: undefined };
  await insertReport(database, { ...report, ...times, traceContext: undefined }, stepDeadline());
  await database.transaction({ merchantIds: [merchantId] }, stepDeadline(), (client) =>
    markReceived(client, { merchantId, id }, { ...times, statements: undefined }),
  );
  const rules = { amountTolerance: 0n, feeTolerance: 0n, dateToleranceDays: 7 };
  const matching = { database, ids, rules, chunkRows: 10, breaksAtOnce: 10 };
  const matcher = new ReportMatcher(matching, { stepDeadline, isStopping: () => false });
  return { merchantId, act: () => matcher.match({ merchantId, id }) };
}

async function settingSecret({ hooks }: Stage): Promise<Ready> {
  const merchantId = await hooks.ledger.createMerchant();
  const { database, ids } = hooks;
  const handler = new SetProviderSecretHandler(database, await entitiesOn(database), ids, NO_REDIS);
  const secret = { text: 'whsec_0123456789abcdef', previousUntilMs: undefined };
  const command = new SetProviderSecretCommand(hooks.context(merchantId), 'stripe', secret);
  return { merchantId, act: () => handler.execute(command) };
}

async function registering({ hooks }: Stage): Promise<Ready> {
  const merchantId = await hooks.ledger.createMerchant();
  return { merchantId, act: () => hooks.endpoint(merchantId, URL) };
}

async function rotating({ hooks }: Stage): Promise<Ready> {
  const merchantId = await hooks.ledger.createMerchant();
  const { id } = await hooks.endpoint(merchantId, URL);
  return { merchantId, act: () => hooks.rotate(merchantId, id, HOUR_MS) };
}

async function deleting({ hooks }: Stage): Promise<Ready> {
  const merchantId = await hooks.ledger.createMerchant();
  const { id } = await hooks.endpoint(merchantId, URL);
  const command = new DeleteWebhookEndpointCommand(hooks.context(merchantId), id);
  return { merchantId, act: () => new DeleteWebhookEndpointHandler(hooks.database, hooks.ids).execute(command) };
}

async function enabling(stage: Stage): Promise<Ready> {
  const { hooks } = stage;
  const { merchantId, endpointId, act } = await disabling(stage);
  await act();
  const command = new EnableWebhookEndpointCommand(hooks.context(merchantId), endpointId, asItIs<WebhookEndpoint>());
  const handler = new EnableWebhookEndpointHandler(hooks.requests, hooks.hints, hooks.ids);
  return { merchantId, act: () => handler.execute(command) };
}

/** By a receiver that answers 410. */
async function disabling({ hooks }: Stage): Promise<Ready & { endpointId: bigint }> {
  const { merchantId, endpointId } = await hooks.due(URL, 1);
  const store = new DeliveryStore(hooks.database);
  const [lease] = await store.claim([merchantId], { leaseMs: HOUR_MS, limit: 1, inHand: [0], most: 1 });
  const [delivery] = lease ? await store.line(lease, 1) : [];
  if (!lease || !delivery) throw new Error('nothing is due');
  const attempt = { atMs: Date.now(), statusCode: 410, durationMs: 1 };
  const verdict = {
    outcome: 'failed',
    status: 'failed',
    tries: 1,
    nextDelayMs: undefined,
    gone: true,
    attempt,
  } as const;
  const act = () =>
    store.record(lease, delivery, verdict, { leaseMs: HOUR_MS, disableAfterMs: HOUR_MS, isLast: false });
  return { merchantId, endpointId, act };
}
