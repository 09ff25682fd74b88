import { createHash } from 'node:crypto';
import { Deadline } from '#platform/deadline.js';
import type { Query } from '#platform/postgres.js';
import { closeReport } from '#reconciliation/closing/close-report.js';
import { type MatchedReport, type Matching, matchNext } from '#reconciliation/matching/match-report.js';
import type { TestDatabase } from './database.js';
import { TestLedger } from './ledger.js';

const DAY_MS = 86_400_000;
/** When what is written here happened, where a test does not say. */
export const NOON_MS = Date.parse('2026-11-20T12:00:00Z');
/** Days around noon; the time of what happened in them is long up. */
export const PERIOD = { periodFromMs: NOON_MS - DAY_MS, periodToMs: NOON_MS + DAY_MS };
export const BANK = { source: 'camt053', provider: undefined };

/** A capture or refund of a payment. */
export interface Movement {
  ref?: string;
  amount: number;
  status?: 'requested' | 'succeeded' | 'failed' | 'reversed';
  /** Days after noon. */
  day?: number;
}

export interface Dispute extends Omit<Movement, 'status'> {
  stage?: string;
  outcome?: string;
  withdrawn?: number;
  reinstated?: number;
}

export interface PlannedPayment {
  ref: string;
  provider?: string;
  currency?: string;
  captures?: Movement[];
  refunds?: Movement[];
  disputes?: Dispute[];
  settlements?: { ref?: string; amount: number; fee: number }[];
}

export interface PlannedRow {
  line: number;
  type?: string;
  ref?: string;
  object?: string;
  gross: number;
  fee?: number;
  currency?: string;
  day?: number;
  batch?: string;
  /** Of whoever tells the same row again; else its report's and line's own. */
  identity?: string;
}

/** Matching of one process; payments and staged rows are written as they stand. */
export class TestMatching {
  private constructor(
    readonly ledger: TestLedger,
    readonly matching: Matching,
  ) {}

  static async open(on: TestDatabase, more: Partial<Matching> = {}): Promise<TestMatching> {
    return TestMatching.of(await TestLedger.open(on), more);
  }

  static of(ledger: TestLedger, more: Partial<Matching> = {}): TestMatching {
    const rules = { amountTolerance: 0n, feeTolerance: 0n, dateToleranceDays: 7 };
    return new TestMatching(ledger, {
      database: ledger.database,
      ids: ledger.ids,
      rules,
      chunkRows: 1_000,
      breaksAtOnce: 100,
      ...more,
    });
  }

  close(): Promise<void> {
    return this.ledger.close();
  }

  /** Returns its id. */
  async pay(
    merchantId: bigint,
    { ref, provider = 'adyen', currency = 'EUR', ...lists }: PlannedPayment,
  ): Promise<bigint> {
    const id = this.ledger.ids.next();
    const subject = `${provider}/${ref}`;
    const settled = (lists.settlements ?? []).reduce((sum, { amount }) => sum + amount, 0);
    await this.write(merchantId, {
      text: `INSERT INTO payments (merchant_id, id, subject, created_at, provider, provider_ref, status, currency, amount, amount_authorised,
               amount_capturable, amount_captured, amount_refunded, amount_disputed, amount_settled, parts, transactions)
             VALUES ($1, $2, $3, snowflake_time($2), $4, $5, 'captured', $6, 0, 0, 0, 0, 0, 0, $7, $8, '{}')`,
      values: [merchantId, id, subject, provider, ref, currency, settled, JSON.stringify(partsOf(lists))],
    });
    await this.tell(merchantId, subject, factsOf(lists));
    return id;
  }

  /** What a payment consists of by now. */
  async change(merchantId: bigint, { ref, provider = 'adyen', ...lists }: PlannedPayment): Promise<void> {
    await this.write(merchantId, {
      text: 'UPDATE payments SET parts = $3 WHERE merchant_id = $1 AND subject = $2',
      values: [merchantId, `${provider}/${ref}`, JSON.stringify(partsOf(lists))],
    });
  }

  async tell(merchantId: bigint, subject: string, facts: readonly PlannedFact[]): Promise<void> {
    for (const [index, { type, ref, amount, day = 0, fee }] of facts.entries()) {
      const id = this.ledger.ids.next();
      const more = JSON.stringify({ amount_kind: 'delta', ...(fee !== undefined && { fee: String(fee) }) });
      await this.write(merchantId, {
        text: `INSERT INTO payment_facts (merchant_id, subject, fact_id, id, received_at, occurred_at, source, event_id, type, amount, object_ref, more, outcome)
               VALUES ($1, $2, $3, $4, snowflake_time($4), $5, 'provider', $3, $6, $7, $8, $9, 'applied')`,
        values: [
          merchantId,
          subject,
          `${index}/${id}`,
          id,
          new Date(NOON_MS + day * DAY_MS),
          type,
          amount,
          ref ?? null,
          more,
        ],
      });
    }
  }

  /** Receives, matches and closes a report. */
  async reconcile(
    merchantId: bigint,
    rows: readonly PlannedRow[],
    more: Partial<MatchedReport> = {},
  ): Promise<MatchedReport> {
    const report = await this.stage(merchantId, rows, more);
    await this.match(report);
    await closeReport(this.matching, report, () => Deadline.after(30_000));
    return report;
  }

  /** A report whose rows are staged. */
  async stage(
    merchantId: bigint,
    rows: readonly PlannedRow[],
    more: Partial<MatchedReport> = {},
  ): Promise<MatchedReport> {
    const report = {
      merchantId,
      id: this.ledger.ids.next(),
      source: 'adyen_settlement_detail',
      provider: 'adyen',
      slaDays: 3,
      ...more,
    };
    const { source, id, slaDays, periodFromMs, periodToMs } = report;
    const [from, to] = [periodFromMs, periodToMs].map((ms) => (ms === undefined ? null : new Date(ms)));
    await this.write(merchantId, {
      text: `INSERT INTO reconciliations (merchant_id, id, created_at, source, sla_days, status, rows, period_from, period_to)
             VALUES ($1, $2, snowflake_time($2), $3, $4, 'matching', $5, $6, $7)`,
      values: [merchantId, id, source, slaDays, rows.length, from, to],
    });
    await this.write(merchantId, {
      text: `INSERT INTO report_staging (merchant_id, reconciliation_id, line, identity, type, reference, object_ref, gross, fee, net, currency,
                                         occurred_at, batch)
             SELECT $1, $2, line, identity, type, reference, object_ref, gross, fee, gross - fee, currency, occurred_at, batch
               FROM json_to_recordset($3::json) AS r (line bigint, identity uuid, type text, reference text, object_ref text, gross bigint,
                                                      fee bigint, currency text, occurred_at timestamptz, batch text)`,
      values: [merchantId, id, JSON.stringify(rows.map((row) => stagedRow(row, id)))],
    });
    return report;
  }

  async match(report: MatchedReport, matching: Matching = this.matching): Promise<void> {
    while ((await matchNext(matching, report, () => Deadline.after(30_000))) > 0);
  }

  /** `line`: what became of it: its rule and the line that its match is named by, or nothing. */
  async rowsOf({ merchantId, id }: MatchedReport): Promise<Record<number, string | null>> {
    const rows = await this.read<{ line: bigint; rule: string | null; match_line: bigint | null }>(merchantId, {
      text: 'SELECT line, rule, match_line FROM report_rows WHERE merchant_id = $1 AND reconciliation_id = $2 ORDER BY line',
      values: [merchantId, id],
    });
    return Object.fromEntries(
      rows.map(({ line, rule, match_line }) => [Number(line), rule && `${rule} ${match_line}`]),
    );
  }

  /** Items, without the ids of their payments: the line of their match. */
  async itemsOf(merchantId: bigint): Promise<Record<string, number>> {
    const items = await this.read<{ item: string; match_line: bigint }>(merchantId, {
      text: `SELECT regexp_replace(item, '^payment/[0-9]+/', '') AS item, match_line FROM reconciled_items WHERE merchant_id = $1 ORDER BY item`,
      values: [merchantId],
    });
    return Object.fromEntries(items.map(({ item, match_line }) => [item, Number(match_line)]));
  }

  async breaksOf(merchantId: bigint): Promise<FoundBreak[]> {
    const rows = await this.read<{ found: string }>(merchantId, {
      text: `SELECT json_build_object('kind', kind, 'status', status, 'line', (actual ->> 'line')::int, 'reference', reference,
               'item', regexp_replace(item, '^payment/[0-9]+/', ''), 'difference', difference, 'expected', expected, 'actual', actual,
               'candidates', candidates, 'resolution', resolution, 'fingerprint', fingerprint, 'detail', detail) AS found
               FROM breaks WHERE merchant_id = $1 ORDER BY (actual ->> 'line')::int, kind, item`,
      values: [merchantId],
    });
    return rows.map(({ found }) => JSON.parse(found));
  }

  async write(merchantId: bigint, query: Query): Promise<void> {
    await this.ledger.database.write({ merchantIds: [merchantId] }, Deadline.after(20_000), query);
  }

  read<Row extends Record<string, unknown>>(merchantId: bigint, query: Query): Promise<Row[]> {
    return this.ledger.database.read<Row>({ merchantIds: [merchantId] }, Deadline.after(20_000), query);
  }
}

export interface FoundBreak {
  kind: string;
  status: string;
  line: number | null;
  reference: string | null;
  item: string | null;
  difference: number | null;
  expected: { amount: string; fee: string | null } | null;
  actual: { amount: string; fee: string | null } | null;
  candidates: { item?: string; amount?: string; payment_id?: string; proposed: boolean }[] | null;
  resolution: { row?: { line: number } } | null;
  fingerprint: string;
  detail: string;
}

export interface PlannedFact {
  type: string;
  ref?: string | undefined;
  amount: number | null;
  day?: number | undefined;
  fee?: number;
}

function partsOf({
  captures = [],
  refunds = [],
  disputes = [],
  settlements = [],
}: Omit<PlannedPayment, 'ref'>): object {
  const movement = ({ ref, amount, status = 'succeeded' }: Partial<Movement>) => {
    return { object_ref: ref ?? null, amount: String(amount), status };
  };
  return {
    captures: captures.map(movement),
    refunds: refunds.map(movement),
    disputes: disputes.map(
      ({ ref = null, amount, stage = 'chargeback', outcome = 'open', withdrawn = 0, reinstated = 0 }) => {
        const told = { funds_withdrawn: String(withdrawn), funds_reinstated: String(reinstated), fee: '0' };
        return { object_ref: ref, amount: String(amount), stage, outcome, ...told };
      },
    ),
    settlements: settlements.map(({ ref = null, amount, fee }) => ({
      object_ref: ref,
      amount: String(amount),
      fee: String(fee),
    })),
    findings: [],
  };
}

function factsOf({
  captures = [],
  refunds = [],
  disputes = [],
  settlements = [],
}: Omit<PlannedPayment, 'ref'>): PlannedFact[] {
  return [
    ...captures.map(({ ref, amount, day }) => ({ type: 'captured', ref, amount, day })),
    ...refunds.map(({ ref, amount, day }) => ({ type: 'refunded', ref, amount, day })),
    ...disputes.map(({ ref, amount, day }) => ({ type: 'dispute_opened', ref, amount, day })),
    ...settlements.map(({ ref, amount, fee }) => ({ type: 'settled', ref, amount, fee })),
  ];
}

function stagedRow(
  { line, type = 'payment', ref, object, gross, fee = 0, currency = 'EUR', day = 0, batch, identity }: PlannedRow,
  id: bigint,
) {
  const name = identity ?? `${id}/${line}`;
  return {
    line,
    type,
    gross,
    fee,
    currency,
    identity: createHash('sha256').update(name).digest('hex').slice(0, 32),
    reference: ref ?? null,
    object_ref: object ?? null,
    occurred_at: new Date(NOON_MS + day * DAY_MS),
    batch: batch ?? null,
  };
}
