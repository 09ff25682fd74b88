import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import type { Reactions } from '#outbox/consumers/reactions.js';
import { type Done, OwnProcess, Tasks } from '#outbox/consumers/task.js';
import { RelayStore } from '#outbox/relay/relay-store.js';
import type { TestLedger } from '../support/ledger.js';

const OPTIONS = { pageEvents: 50, maxTries: 1, timeoutMs: 20_000 };
/** No event of a page is begun this long after it. */
export const MOST_OF_A_PAGE_MS = 11_000;
const RUNS = 10;

/** A worker's reactor, step by step in this process, for one merchant. */
export class Steps {
  readonly #process: OwnProcess;

  constructor(
    private readonly ledger: TestLedger,
    private readonly admin: pg.Pool,
    private readonly reactions: Reactions,
    private readonly merchantId: bigint,
  ) {
    this.#process = new OwnProcess(new Tasks(ledger.database, reactions, randomUUID(), OPTIONS));
  }

  /** Reacts to, or gives up on, all that the merchant's log has. */
  async run(): Promise<void> {
    const { name, from } = this.reactions;
    await new RelayStore(this.ledger.database).register(name, { from, keepsPosition: true });
    const newest = 'SELECT partition, xid, seq FROM events WHERE merchant_id = $1 ORDER BY xid DESC, seq DESC LIMIT 1';
    const { rows } = await this.admin.query<{ partition: number; xid: string; seq: string }>(newest, [this.merchantId]);
    const [row] = rows;
    if (!row) throw new Error('the merchant has no events');
    const through = { xid: BigInt(row.xid), seq: BigInt(row.seq) };
    for (let run = 0; run < RUNS; run += 1) {
      const task = { partition: row.partition, through, letterId: this.ledger.ids.next() };
      const done = await this.#perform({ kind: 'run', run: task }).catch(() => undefined);
      if (done?.kind === 'ran' && done.outcome.outcome === 'done') return;
    }
    throw new Error('the log was not gone through');
  }

  /** The newest letter of the merchant. */
  async redrive(): Promise<void> {
    const { rows } = await this.admin.query<{ id: string; xid: string; seq: string; partition: number }>(
      `UPDATE dead_letters d SET status = 'redriving', decided_by = 'a test', decided_at = now(), reason = 'tried'
         FROM events e WHERE (e.merchant_id, e.xid, e.seq) = (d.merchant_id, d.xid, d.seq) AND d.merchant_id = $1 AND d.status = 'parked'
      RETURNING d.id, d.xid, d.seq, e.partition`,
      [this.merchantId],
    );
    const [row] = rows;
    if (!row) throw new Error('the merchant has no parked letter');
    const at = { xid: BigInt(row.xid), seq: BigInt(row.seq) };
    const letter = { merchantId: this.merchantId, id: BigInt(row.id), at, partition: row.partition };
    await this.#perform({
      kind: 'redrive',
      letter: { ...letter, consumer: this.reactions.name, decision: 'redrive' },
    });
  }

  /** Another merchant's stream, or the merchant's. */
  async catchUp(merchantId = this.merchantId): Promise<void> {
    const { rows } = await this.admin.query<{ partition: number }>('SELECT partition_of($1) AS partition', [
      merchantId,
    ]);
    const partition = rows[0]?.partition ?? -1;
    const stream = { merchantId, partition, limit: OPTIONS.pageEvents, letterId: this.ledger.ids.next() };
    await this.#perform({ kind: 'catch up', stream });
  }

  #perform(task: Parameters<Tasks['perform']>[0]): Promise<Done> {
    return this.#process.run(task);
  }
}
