import pg from 'pg';
import type { ScratchDatabase } from '#db/bench/scratch-database.js';
import { sqlFile } from '#db/bench/sql-file.js';
import { EPOCH_MS } from '#kernel/snowflake.js';
import { cpuOfServerMs, postmasterOf } from './cpu.js';
import type { NightBook } from './night-book.js';
import { NightService } from './night-service.js';
import { costliest } from './statements.js';

const DAY_MS = 86_400_000;

/** What was settled, to the minor unit and to the last line: whoever did it comes to the same. */
const OUTCOME = `
SELECT md5(string_agg(format('%s %s %s %s %s %s %s %s %s', merchant_id, gross, refunds, disputes, other, adjustments, fees, net, items),
                      ',' ORDER BY merchant_id, business_date)) AS settlements,
       (SELECT md5(string_agg(format('%s %s %s %s %s %s', account_id, account_version, kind, payment_id, amount, fee), ','
                              ORDER BY account_id, account_version)) FROM settlement_lines WHERE kind <> 'fees') AS lines,
       (SELECT sum(posted_credits) FROM balances) AS balances
  FROM settlements`;

export interface Settled {
  seconds: number;
  /** Seconds of PostgreSQL's CPU. */
  postgres: number;
  outcome: string;
}

/** The same in one transaction of SQL, by the owner. */
export async function settleByHand(book: NightBook): Promise<Settled> {
  return onCopy(book, async (_, owner) => {
    const { rows } = await owner.query('SELECT id FROM fee_plans');
    const text = sqlFile('settlement.sql', {
      business_date: book.day.businessDate,
      starts_at: new Date(book.day.endMs - DAY_MS).toISOString(),
      ends_at: new Date(book.day.endMs).toISOString(),
      plan_id: rows[0].id,
      now_ms: Date.now(),
      epoch_ms: EPOCH_MS,
    });
    const measured = await measuring(owner, async () => {
      const startedAt = performance.now();
      await owner.query(text);
      return (performance.now() - startedAt) / 1_000;
    });
    return { ...measured, outcome: await outcomeOf(owner) };
  });
}

/** Bytes, and seconds of the worker's CPU. */
export type SettledByService = Settled & { before: number; peakMemory: number; worker: number };

/** By one worker. `onStatements`: told what PostgreSQL spent its time on. `heapMib`: the most that JavaScript's old objects may take. */
export async function settleByService(
  book: NightBook,
  { onStatements, heapMib }: { onStatements?: (table: string) => void; heapMib?: number } = {},
): Promise<SettledByService> {
  return onCopy(book, async (copy, owner) => {
    const bounded = heapMib === undefined ? {} : { NODE_OPTIONS: `--max-old-space-size=${heapMib}` };
    const service = await NightService.start(copy, bounded);
    try {
      const { worker } = service;
      if (onStatements) await owner.query('CREATE EXTENSION pg_stat_statements');
      const [before, cpuMs] = [worker.peakMemory(), worker.cpuMs().worker];
      const measured = await measuring(owner, () => service.settle(book.day.businessDate));
      onStatements?.(await costliest(owner));
      return {
        ...measured,
        before,
        peakMemory: worker.peakMemory(),
        worker: (worker.cpuMs().worker - cpuMs) / 1_000,
        outcome: await outcomeOf(owner),
      };
    } finally {
      await service.stop();
    }
  });
}

async function measuring(
  owner: pg.Client,
  work: () => Promise<number>,
): Promise<{ seconds: number; postgres: number }> {
  const { rows } = await owner.query('SELECT pg_backend_pid() AS pid');
  const postmaster = postmasterOf(rows[0].pid);
  const cpuMs = (): number => (postmaster === undefined ? Number.NaN : (cpuOfServerMs(postmaster) ?? Number.NaN));
  const before = cpuMs();
  const seconds = await work();
  return { seconds, postgres: (cpuMs() - before) / 1_000 };
}

async function onCopy<T>(book: NightBook, work: (copy: ScratchDatabase, owner: pg.Client) => Promise<T>): Promise<T> {
  const copy = await book.copy();
  const owner = new pg.Client({ connectionString: copy.url });
  try {
    await owner.connect();
    return await work(copy, owner);
  } finally {
    await owner.end();
    await copy.drop();
  }
}

async function outcomeOf(owner: pg.Client): Promise<string> {
  return JSON.stringify((await owner.query(OUTCOME)).rows[0]);
}
