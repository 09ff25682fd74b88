import { randomUUID } from 'node:crypto';
import { BatchApplier } from '#outbox/consumers/batch-applier.js';
import type { LoggedEvent } from '#outbox/consumers/consumer.js';
import { Redriver } from '#outbox/dead-letters/redriver.js';
import { PARTITIONS, type Position } from '#outbox/log/position.js';
import { RelayStore } from '#outbox/relay/relay-store.js';
import { Deadline } from '#platform/deadline.js';
import type { TransactionClient } from '#platform/postgres.js';
import { DailySummaries } from '#summaries/daily-summaries.js';
import { asAdmin, type TestDatabase } from '../support/database.js';
import type { TestLedger } from '../support/ledger.js';

const OPTIONS = { pageEvents: 50, maxTries: 1, timeoutMs: 20_000 };

/** The live consumer, step by step in this process: it gives up on events whose transaction is in `poison`. */
export class LiveSummaries {
  readonly poison = new Set<string>();
  readonly #applier: BatchApplier;
  readonly #redriver: Redriver;

  constructor(
    private readonly on: TestDatabase,
    private readonly ledger: TestLedger,
  ) {
    const { poison } = this;
    class Choosy extends DailySummaries {
      override apply(client: TransactionClient, events: readonly LoggedEvent[]): Promise<void> {
        if (events.some(({ data }) => poison.has(JSON.parse(data).transaction_id))) throw new Error('poison');
        return super.apply(client, events);
      }
    }
    const consumer = new Choosy();
    const { database } = ledger;
    this.#applier = new BatchApplier(database, consumer, randomUUID(), OPTIONS);
    this.#redriver = new Redriver({ database, consumer, applier: this.#applier }, OPTIONS);
  }

  /** Applies, or gives up on, all that has been committed. */
  async catchUp(): Promise<void> {
    await new RelayStore(this.ledger.database).register('daily_summaries', { from: 'beginning', keepsPosition: true });
    const { rows } = await asAdmin(this.on.ownerUrl, (admin) =>
      admin.query<{ partition: number; xid: string; seq: string }>(
        `SELECT DISTINCT ON (partition) partition, xid, seq FROM events ORDER BY partition, xid DESC, seq DESC`,
      ),
    );
    for (const { partition, xid, seq } of rows) await this.#apply(partition, { xid: BigInt(xid), seq: BigInt(seq) });
  }

  /** Has the letter of this transaction's event applied after all. */
  async redrive(transactionId: bigint): Promise<void> {
    this.poison.delete(String(transactionId));
    const { rows } = await asAdmin(this.on.ownerUrl, (admin) =>
      admin.query<{ merchant_id: string; id: string; xid: string; seq: string; partition: number }>(
        `UPDATE dead_letters d SET status = 'redriving', decided_by = 'a test', decided_at = now(), reason = 'cured'
           FROM events e WHERE (e.merchant_id, e.xid, e.seq) = (d.merchant_id, d.xid, d.seq) AND e.data ->> 'transaction_id' = $1
        RETURNING d.merchant_id, d.id, d.xid, d.seq, e.partition`,
        [String(transactionId)],
      ),
    );
    for (const row of rows) {
      const at = { xid: BigInt(row.xid), seq: BigInt(row.seq) };
      const [merchantId, id] = [BigInt(row.merchant_id), BigInt(row.id)];
      const decided = { merchantId, id, at, consumer: 'daily_summaries', partition: row.partition };
      const letter = { ...decided, decision: 'redrive' } as const;
      if (!(await this.#redriver.redrive(letter, () => undefined))) throw new Error('the partition was taken');
    }
  }

  /** A batch of the live consumer's that has had its effect, and will commit when it is told to. */
  async stopBeforeCommit(merchantId: bigint): Promise<{ commit(): Promise<void> }> {
    const reached = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    class Slow extends DailySummaries {
      override async apply(client: TransactionClient, events: readonly LoggedEvent[]): Promise<void> {
        await super.apply(client, events);
        reached.resolve();
        await released.promise;
      }
    }
    const applier = new BatchApplier(this.ledger.database, new Slow(), randomUUID(), OPTIONS);
    const [row] = await this.ledger.database.read<Position & { partition: number }>('relay', Deadline.after(5_000), {
      text: 'SELECT partition, xid, seq FROM events WHERE merchant_id = $1 ORDER BY xid DESC, seq DESC LIMIT 1',
      values: [merchantId],
    });
    if (!row) throw new Error('the merchant has no events');
    const through = { xid: row.xid, seq: row.seq };
    const done = applier.run({ partition: row.partition, through, letterId: this.ledger.ids.next() }, () => undefined);
    await reached.promise;
    return {
      commit: async () => {
        released.resolve();
        await done;
      },
    };
  }

  async #apply(partition: number, through: Position): Promise<void> {
    for (let round = 0; round < PARTITIONS; round += 1) {
      const run = { partition, through, letterId: this.ledger.ids.next() };
      const outcome = await this.#applier.run(run, () => undefined).catch(() => undefined);
      if (outcome?.outcome === 'done') return;
    }
    throw new Error(`partition ${partition} was not finished`);
  }
}
