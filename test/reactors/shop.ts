import type pg from 'pg';
import { postedId, type TestLedger, transfer } from '../support/ledger.js';
import { until } from '../support/until.js';

/** What a killed worker held comes back when its claim has run out and another has started: longer on a busy machine. */
const PATIENCE_MS = 120_000;
/** Sales whose fee is not posted yet. */
const AHEAD = 10;

/** A merchant whose sales cost a fee each. `means`: what the payer has for both; undefined: without end. */
export class Shop {
  private constructor(
    private readonly ledger: TestLedger,
    private readonly admin: pg.Pool,
    readonly merchant: bigint,
    private readonly payer: bigint,
    private readonly payee: bigint,
  ) {}

  static async open(ledger: TestLedger, admin: pg.Pool, means?: bigint): Promise<Shop> {
    const merchant = await ledger.createMerchant();
    const minAvailable = means === undefined ? null : -means;
    const payer = await ledger.createAccount(merchant, { code: 'payer', minAvailable });
    const payee = await ledger.createAccount(merchant, { code: 'payee' });
    return new Shop(ledger, admin, merchant, payer, payee);
  }

  /** One whose events are in another partition of the log. */
  static async elsewhere(ledger: TestLedger, admin: pg.Pool, shop: Shop): Promise<Shop> {
    for (;;) {
      const other = await Shop.open(ledger, admin);
      const { rows } = await admin.query('SELECT partition_of($1) <> partition_of($2) AS is', [
        shop.merchant,
        other.merchant,
      ]);
      if (rows[0].is) return other;
    }
  }

  /** Returns its id. */
  async sell(externalRef = 'sold'): Promise<string> {
    const sale = transfer(this.payer, this.payee, 1n, { type: 'sale', externalRef });
    return String(postedId(await this.ledger.post(this.merchant, sale)));
  }

  /** One after the other, as many as `goesOn` lets it, and never far ahead of the fees. */
  async sellWhile(goesOn: (sold: readonly string[]) => boolean): Promise<string[]> {
    const sold: string[] = [];
    while (goesOn(sold)) {
      sold.push(await this.sell());
      await this.untilFees(sold.length - AHEAD);
    }
    return sold;
  }

  async fund(amount: bigint): Promise<void> {
    postedId(await this.ledger.post(this.merchant, transfer(this.payee, this.payer, amount)));
  }

  /** The sales that fees were posted for, in the order of the postings. */
  async fees(): Promise<string[]> {
    const { rows } = await this.admin.query<{ sale: string }>(
      `SELECT data ->> 'external_ref' AS sale FROM events WHERE merchant_id = $1 AND data ->> 'type' = 'fee' ORDER BY xid, seq`,
      [this.merchant],
    );
    return rows.map(({ sale }) => sale);
  }

  async untilFees(count: number): Promise<void> {
    if (count <= 0) return;
    await until(`${count} fees were posted`, async () => (await this.fees()).length >= count, PATIENCE_MS);
  }

  /** The reactor is past all that the merchant's log holds. */
  async untilPast(reactor = 'fees'): Promise<void> {
    await until(`${reactor} is past the log`, async () => (await this.ahead(reactor)) === 0, PATIENCE_MS);
  }

  /** Events that the reactor's position is not past: all of them, until it has one. */
  async ahead(reactor = 'fees'): Promise<number> {
    const { rows } = await this.admin.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM events e LEFT JOIN consumer_positions p ON p.partition = e.partition AND p.consumer = $2
        WHERE e.merchant_id = $1 AND (p.xid IS NULL OR (e.xid, e.seq) > (p.xid, p.seq))`,
      [this.merchant, reactor],
    );
    return rows[0]?.n ?? 0;
  }

  async letters(reactor = 'fees'): Promise<{ status: string; error: string; tries: number }[]> {
    const { rows } = await this.admin.query(
      'SELECT status, error, tries FROM dead_letters WHERE merchant_id = $1 AND consumer = $2 ORDER BY id',
      [this.merchant, reactor],
    );
    return rows;
  }

  async decide(decision: 'redriving' | 'discarding', reactor = 'fees'): Promise<void> {
    await this.admin.query(
      `UPDATE dead_letters SET status = $3, decided_by = 'a test', decided_at = now(), reason = 'tried'
        WHERE merchant_id = $1 AND consumer = $2 AND status = 'parked'`,
      [this.merchant, reactor, decision],
    );
  }
}
