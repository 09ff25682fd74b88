import { Deadline } from '#platform/deadline.js';
import { createLogger } from '#platform/logging.js';
import type { OutsideCheck } from '#platform/room-hooks.js';
import type { Check } from '#platform/verify.js';
import { InternalCheck } from '#reconciliation/internal/internal-check.js';
import { beginReports, dueMerchants } from '#reconciliation/internal/internal-store.js';
import { ReportMatcher } from '#reconciliation/jobs/report-matcher.js';
import { checksOf, ROOMS } from '../../apps/rooms.js';
import { asAdmin, type TestDatabase } from './database.js';
import { TestMatching } from './matching.js';
import { factOf, TestPayments } from './payments.js';
import { TestSettlement } from './settlement.js';
import { TestPayouts } from './test-payouts.js';

const FIRST_DAY_MS = Date.UTC(2026, 0, 5);
const DAY_MS = 86_400_000;
const NOON_MS = FIRST_DAY_MS + DAY_MS / 2;

export interface NightOptions {
  outside?: readonly OutsideCheck[];
  timeoutMs?: number;
  stepMs?: number;
  offenders?: number;
}

/** Nights in which merchants' books are checked, without Redis and Nest. */
export class InternalNights {
  readonly #days = new Map<bigint, number>();

  private constructor(
    readonly on: TestDatabase,
    readonly settlement: TestSettlement,
    private readonly checks: readonly Check[],
  ) {}

  static async open(on: TestDatabase): Promise<InternalNights> {
    return new InternalNights(on, await TestSettlement.open(on), await checksOf(ROOMS));
  }

  close(): Promise<void> {
    return this.settlement.close();
  }

  /** With a payment, a settled day and a payout that was paid. */
  async createMerchant(): Promise<bigint> {
    const merchant = await this.settlement.createMerchant();
    const payments = new TestPayments(this.settlement.ledger);
    const facts = [factOf('authorised'), factOf('captured', { sequence: 1 })];
    await payments.tell(merchant, 'whole', ...facts.map((fact) => ({ ...fact, occurredAtMs: NOON_MS })));
    await this.settle(merchant);
    const payouts = await TestPayouts.of(this.settlement.ledger);
    await payouts.tell(merchant, await payouts.request(merchant, 500n), 'paid', 1);
    return merchant;
  }

  /** Captured beyond what was authorised. */
  async doubt(merchant: bigint, ref: string): Promise<void> {
    const facts = [factOf('authorised'), factOf('captured', { amount: 2_000n })];
    await new TestPayments(this.settlement.ledger).tell(merchant, ref, ...facts);
  }

  /** The next day. */
  async settle(merchant: bigint): Promise<void> {
    const days = this.#days.get(merchant) ?? 0;
    this.#days.set(merchant, days + 1);
    const day = new Date(FIRST_DAY_MS + days * DAY_MS).toISOString().slice(0, 10);
    const [result] = await this.settlement.settle([merchant], day);
    if (result?.outcome !== 'settled' && result?.outcome !== 'empty') throw new Error(JSON.stringify(result?.outcome));
  }

  matcher({ outside = [], timeoutMs = 30_000, stepMs = 20_000, offenders = 100 }: NightOptions = {}): ReportMatcher {
    const { matching } = TestMatching.of(this.settlement.ledger);
    const logger = createLogger({ level: 'silent', service: 'test' });
    const inspectors = { database: matching.database, logger, checks: this.checks, outside: () => outside, offenders };
    const stepDeadline = () => Deadline.after(stepMs);
    const internal = new InternalCheck(matching, inspectors, { timeoutMs, stepDeadline });
    return new ReportMatcher(matching, { stepDeadline, isStopping: () => false, internal });
  }

  /** Ids of the reports that this has begun. */
  async begin(atOnce = 100, nowMs = Date.now()) {
    const { database, ids } = this.settlement.ledger;
    const { due } = await dueMerchants(database, { atOnce, nowMs }, Deadline.after(20_000));
    return beginReports({ database, ids }, due, Deadline.after(20_000));
  }

  /** Checks whoever's day was settled. Answers how many were completed. */
  async night(options?: NightOptions): Promise<number> {
    const matcher = this.matcher(options);
    let completed = 0;
    for (const report of await this.begin()) completed += Number((await matcher.match(report)) === 'completed');
    return completed;
  }

  /** As a superuser does it: no trigger, no guard, no event. */
  behindTheBack(sql: string): Promise<void> {
    return asAdmin(this.on.ownerUrl, async (admin) => {
      await admin.query(`SET session_replication_role = replica; ${sql}`);
    });
  }

  query<Row>(text: string, values: unknown[]): Promise<Row[]> {
    return asAdmin(this.on.ownerUrl, async (admin) => (await admin.query(text, values)).rows as Row[]);
  }

  breaks(merchant: bigint): Promise<BreakRow[]> {
    const text = `SELECT kind, status, reference, object_ref, detail, resolution ->> 'reason' AS reason, reconciliation_id::text
                    FROM breaks WHERE merchant_id = $1 ORDER BY id`;
    return this.query<BreakRow>(text, [merchant]);
  }

  reports(merchant: bigint): Promise<ReportRow[]> {
    const text = `SELECT id::text, source, status, failure, rows::int, period_to FROM reconciliations WHERE merchant_id = $1 ORDER BY id`;
    return this.query<ReportRow>(text, [merchant]);
  }

  async events(merchant: bigint, type: string): Promise<Record<string, unknown>[]> {
    const text = 'SELECT data FROM events WHERE merchant_id = $1 AND type = $2 ORDER BY xid, seq';
    return (await this.query<{ data: Record<string, unknown> }>(text, [merchant, type])).map(({ data }) => data);
  }
}

export interface BreakRow {
  kind: string;
  status: string;
  reference: string;
  object_ref: string | null;
  detail: string;
  reason: string | null;
  reconciliation_id: string;
}

export interface ReportRow {
  id: string;
  source: string;
  status: string;
  failure: string | null;
  rows: number;
  period_to: Date | null;
}
