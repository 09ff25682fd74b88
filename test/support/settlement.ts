import { randomInt, randomUUID } from 'node:crypto';
import { INVALID_SPAN_CONTEXT, trace } from '@opentelemetry/api';
import { FeePlan, FeePlanAssignment, FeePlanVersionRow } from '#fees/fee-plan.entity.js';
import type { FeePlanVersion, FeeRule } from '#fees/fee-plan.js';
import { FeePlans } from '#fees/fee-plans.js';
import type { Clock } from '#kernel/clock.js';
import { firstSnowflakeAt, snowflakeTimeMs } from '#kernel/snowflake.js';
import { SystemAccounts } from '#ledger/accounts/find-system-accounts.js';
import { insertPayableItems, type PayableItem } from '#ledger/accounts/payable-items.js';
import { type SystemName, systemAccounts, systemCode } from '#ledger/accounts/system-accounts.js';
import type { Adjust, NewEntry } from '#ledger/posting/command.js';
import { extended, type GroupExtension } from '#ledger/writing/group-extension.js';
import type { WriterOptions } from '#ledger/writing/writer-options.js';
import { Cost } from '#platform/cost.js';
import { Deadline } from '#platform/deadline.js';
import type { Entities } from '#platform/entities.js';
import type { RequestBounds } from '#platform/request-context.js';
import { type SettleResult, Settler, type SettlerParts } from '#settlement/settler.js';
import type { TestDatabase } from './database.js';
import { entitiesOn } from './entities.js';
import { TestLedger } from './ledger.js';

/** What happens on merchant_payable. */
export interface Happening {
  kind: PayableItem['kind'] | 'other';
  /** What it adds to what the merchant is owed. */
  amount: bigint;
  /** Of a payment or payout. */
  subject?: bigint;
  atMs: number;
  currency?: string;
  fee?: bigint;
}

interface Booked {
  adjust: Adjust;
  payable: bigint;
  item: Pick<PayableItem, 'kind' | 'subject_id' | 'fee'> | undefined;
}

/** What capabilities do: an adjustment, and what it is of. */
const BOOKED: GroupExtension<Booked, unknown, PayableItem> = {
  name: 'booked',
  decide({ adjust, payable, item }, turn) {
    const decision = turn.post(adjust);
    if (!decision.accepted) return decision;
    for (const { accountId, accountVersion } of decision.transaction.entries) {
      if (accountId !== payable || !item) continue;
      const key = { account_id: String(accountId), account_version: String(accountVersion) };
      turn.write({ merchant_id: String(turn.merchantId), ...key, ...item });
    }
    return { status: 201, response: '{}' };
  },
  write: { text: insertPayableItems(1), values: (rows) => [JSON.stringify(rows)] },
};

export interface Opened {
  timeZone?: string;
  cutoff?: string;
  currencies?: readonly string[];
  createdAtMs?: number;
}

/** Settling of one process, without HTTP. */
export class TestSettlement {
  private constructor(
    readonly ledger: TestLedger,
    readonly settler: Settler,
    readonly parts: SettlerParts,
    private readonly entities: Entities,
  ) {}

  static async open(
    on: TestDatabase,
    options: { chunkEntries?: number; clock?: Clock; writer?: Partial<WriterOptions> } = {},
  ): Promise<TestSettlement> {
    return TestSettlement.of(await TestLedger.open(on, options.writer), options);
  }

  static async of(ledger: TestLedger, options: { chunkEntries?: number; clock?: Clock } = {}): Promise<TestSettlement> {
    const { database, writer, ids } = ledger;
    const entities = await entitiesOn(database);
    const plans = new FeePlans(database, entities);
    const system = new SystemAccounts(database, ids, ledger.directory);
    const { chunkEntries = 20_000 } = options;
    const parts = { database, writer, ids, system, plans, chunkEntries, stepTimeoutMs: 30_000 };
    return new TestSettlement(ledger, new Settler(parts, options.clock), parts, entities);
  }

  get system(): SystemAccounts {
    return this.parts.system;
  }

  close(): Promise<void> {
    return this.ledger.close();
  }

  async createMerchant(opened: Opened = {}): Promise<bigint> {
    const { timeZone = 'UTC', cutoff = '00:00', currencies = ['EUR'], createdAtMs = Date.now() } = opened;
    const id = firstSnowflakeAt(createdAtMs) + BigInt(randomInt(1 << 22));
    await this.ledger.database.write({ merchantIds: [id] }, Deadline.after(5_000), {
      text: `INSERT INTO merchants (id, name, time_zone, settlement_cutoff, currencies, created_at)
             VALUES ($1, 'Test', $2, $3::time, $4, snowflake_time($1))`,
      values: [id, timeZone, cutoff, currencies],
    });
    for (const account of systemAccounts(currencies, () => this.ledger.ids.next())) {
      await this.ledger.createAccount(id, account);
    }
    return id;
  }

  /** By a plan of one version, since ever. */
  charge(merchantId: bigint, rules: readonly FeeRule[], refundReturnsFee = false): Promise<bigint> {
    return this.chargeBy(merchantId, [{ validFromMs: -Infinity, refundReturnsFee, rules }]);
  }

  /** By a plan of these versions, that the merchant is on since ever. */
  async chargeBy(
    merchantId: bigint,
    versions: readonly Pick<FeePlanVersion, 'validFromMs' | 'refundReturnsFee' | 'rules'>[],
  ): Promise<bigint> {
    const planId = this.ledger.ids.next();
    await this.ledger.database.transaction({ merchantIds: [merchantId] }, Deadline.after(5_000), async (client) => {
      const manager = this.entities.in(client);
      await manager.insert(FeePlan, { id: planId, name: 'Test', createdAtMs: snowflakeTimeMs(planId) });
      const rows = versions.map((version, index) => ({ planId, version: index + 1, ...version }));
      for (const row of rows) await manager.insert(FeePlanVersionRow, row);
      await manager.insert(FeePlanAssignment, { merchantId, planId, validFromMs: -Infinity });
    });
    return planId;
  }

  /** One after another, each a transaction of its own. */
  async happen(merchantId: bigint, ...happenings: readonly Happening[]): Promise<void> {
    const context = this.ledger.context(merchantId);
    const submitted = happenings.map(async ({ kind, amount, subject = 0n, atMs, currency = 'EUR', fee }) => {
      const [payable, other] = await this.#accounts(merchantId, currency);
      const [from, to] = amount < 0n ? [payable, other] : [other, payable];
      const posted = amount < 0n ? -amount : amount;
      const entry = { currency, posted, pending: 0n };
      const entries: NewEntry[] = [
        { ...entry, accountId: from.id, direction: 'debit' },
        { ...entry, accountId: to.id, direction: 'credit' },
      ];
      const adjust: Adjust = { kind: 'adjust', type: `test.${kind}`, entries, effectiveAtMs: atMs };
      const item =
        kind === 'other'
          ? undefined
          : { kind, subject_id: String(subject), fee: fee === undefined ? null : String(fee) };
      const accounts = new Map([payable, other].map((account) => [account.id, account]));
      const commands = [extended(BOOKED, { adjust, payable: payable.id, item })];
      const { outcome } = await this.ledger.writer.post(context, {
        mode: 'single',
        commands,
        accounts,
        idempotency: { key: randomUUID(), requestSha256: Buffer.alloc(32, 1) },
      });
      const [decision] = outcome.kind === 'decided' ? outcome.decisions : [];
      if (!decision?.accepted) throw new Error(`not booked: ${JSON.stringify(decision)}`);
    });
    await Promise.all(submitted);
  }

  async settle(merchantIds: readonly bigint[], businessDate: string, timeoutMs = 60_000): Promise<SettleResult[]> {
    return this.settler.settle(merchantIds, businessDate, within(timeoutMs));
  }

  async #accounts(merchantId: bigint, currency: string) {
    const names: SystemName[] = ['merchant_payable', 'provider_receivable'];
    const refs = names.map((name) => ({ code: systemCode(name, currency) }));
    const [payable, other] = await this.ledger.directory.find(merchantId, refs, Deadline.after(20_000));
    if (!payable || !other) throw new Error(`no accounts in ${currency}`);
    return [payable, other] as const;
  }
}

export function within(timeoutMs: number): RequestBounds {
  return { deadline: Deadline.after(timeoutMs), span: trace.wrapSpanContext(INVALID_SPAN_CONTEXT), cost: new Cost() };
}

export const RULE: FeeRule = {
  appliesTo: 'payment',
  currency: 'EUR',
  percentBps: 0,
  fixed: 0n,
  min: undefined,
  max: undefined,
  tierFrom: 0n,
};

const DAY_MS = 86_400_000;

/** Settles something of the day before yesterday, of a merchant without system accounts. */
export async function settleADay(ledger: TestLedger, merchantId: bigint): Promise<void> {
  for (const account of systemAccounts(['EUR'], () => ledger.ids.next())) {
    await ledger.createAccount(merchantId, account);
  }
  const settlement = await TestSettlement.of(ledger);
  const atMs = Date.now() - 2 * DAY_MS;
  await settlement.happen(merchantId, { kind: 'other', amount: 1n, atMs });
  await settlement.settle([merchantId], new Date(atMs).toISOString().slice(0, 10));
}
