import { closeSync, openSync, writeSync } from 'node:fs';
import pg from 'pg';
import { scratchDatabase } from './scratch-database.js';
import { sqlFile } from './sql-file.js';
import { percentile } from './text-table.js';

/** What "the last 100 transactions of a merchant" costs under four layouts of the same rows. */

interface Layout {
  table: string;
  title: string;
  /** How this layout can serve "newest first" best. */
  order: string;
  /** Seconds rather than milliseconds a query. */
  slow?: boolean;
}

const BY_KEY = 'created_at DESC, id DESC';
const ID_ONLY: Layout = { table: 'id_only', title: 'PK (id)', order: 'id DESC', slow: true };
const INDEXED: Layout = {
  table: 'secondary',
  title: 'PK (id) + index (merchant_id, created_at DESC)',
  order: 'created_at DESC',
};
const BARE_KEY: Layout = { table: 'bare_key', title: 'PK (merchant_id, created_at, id)', order: BY_KEY };
const OURS: Layout = { table: 'covering', title: 'ours: the same key, covering', order: BY_KEY };
const NAIVE = [ID_ONLY, INDEXED, BARE_KEY];

/** Each fill is one transaction, as long as a ledger's night job might be. */
const FILL_ROWS = 20_000;
const SLOW_SAMPLE = 10;
const DROP_CACHES = '/proc/sys/vm/drop_caches';

export interface LayoutOptions {
  rows: number;
  merchants: number;
  tiny: number;
  freshRows: number;
  sample: number;
  dropOsCache: boolean;
}

export interface Ratio {
  median: number;
  p99: number;
}

/** Pages of PK (id) + index ÷ pages of ours: row 8 of the goals. */
export interface Comparison {
  /** The server and its settings, and what "cold" means here. */
  notes: string[];
  layouts: Measured[];
  vacuumed: Ratio;
  /** All merchants, the newest rows not yet vacuumed. */
  newest: Ratio;
  /** Of these, merchants whose page consists of such rows by half or more. */
  newestBusiest: Ratio;
  /** PK (id) alone ÷ ours. */
  withoutIndex: Ratio;
}

export interface Measured {
  title: string;
  /** Buffers hit or read by the query's plan. */
  touched: number[];
  /** Of those, read from outside the buffers once these were evicted. */
  coldReads: number[];
  coldMs: number[];
  warmMs: number[];
  plan: string;
  heapMb: number;
  indexMb: number;
  rowsPerSecond: number;
}

/** Forgets what PostgreSQL (and, where asked, the kernel) has in memory, and says in words what that was. */
class Eviction {
  readonly #client: pg.Client;
  readonly #evicts: boolean;
  readonly #drops: boolean;
  readonly meaning: string;

  private constructor(client: pg.Client, facts: { evicts: boolean; drops: boolean; direct: boolean }) {
    this.#client = client;
    this.#evicts = facts.evicts;
    this.#drops = facts.drops;
    this.meaning = Eviction.#explain(facts);
  }

  static async prepare(client: pg.Client, dropOsCache: boolean): Promise<Eviction> {
    const evicts = await client.query('CREATE EXTENSION pg_buffercache').then(
      () => true,
      (error: Error) => {
        progress(`No cold figures: pg_buffercache could not be created (${error.message}).`);
        return false;
      },
    );
    const { rows } = await client.query(`SELECT current_setting('debug_io_direct', true) AS direct`);
    const direct = /data/.test(rows[0].direct ?? '');
    const drops = dropOsCache && !direct && mayDropCaches();
    if (dropOsCache && !direct && !drops)
      progress(`${DROP_CACHES} is not writable here: the kernel's page cache stays.`);
    return new Eviction(client, { evicts, drops, direct });
  }

  static #explain({ evicts, drops, direct }: { evicts: boolean; drops: boolean; direct: boolean }): string {
    if (!evicts) return 'Cold: not measured (pg_buffercache wants a superuser).';
    const buffers = 'Cold = every shared buffer evicted before each query (pg_buffercache_evict_all)';
    if (direct)
      return `${buffers}, and data files are read with O_DIRECT (debug_io_direct = data): each read is the disk's.`;
    if (drops) return `${buffers}, and the kernel's page cache dropped (${DROP_CACHES}).`;
    return `${buffers}; the kernel's page cache stays, so a read is a copy from memory. Pages, not milliseconds, are what counts.`;
  }

  get possible(): boolean {
    return this.#evicts;
  }

  async evict(): Promise<void> {
    await this.#client.query('CHECKPOINT');
    await this.#client.query('SELECT pg_buffercache_evict_all()');
    if (this.#drops) dropCaches();
  }
}

function mayDropCaches(): boolean {
  try {
    closeSync(openSync(DROP_CACHES, 'w'));
    return true;
  } catch {
    return false;
  }
}

function dropCaches(): void {
  const file = openSync(DROP_CACHES, 'w');
  writeSync(file, '1');
  closeSync(file);
}

class Bench {
  readonly #client: pg.Client;
  readonly #options: LayoutOptions;
  readonly #eviction: Eviction;
  readonly #rowsPerSecond = new Map<string, number>();

  constructor(client: pg.Client, options: LayoutOptions, eviction: Eviction) {
    this.#client = client;
    this.#options = options;
    this.#eviction = eviction;
  }

  /** All rows; the newest ones are added after the vacuum. */
  async create({ table, title }: Layout): Promise<void> {
    await this.#client.query(sqlFile(`layouts/${table.replace('_', '-')}.sql`));
    const startedAt = performance.now();
    const vacuumed = this.#options.rows - this.#options.freshRows;
    await this.#fill(table, 1, vacuumed);
    this.#rowsPerSecond.set(table, vacuumed / ((performance.now() - startedAt) / 1_000));
    await this.#client.query(`VACUUM (FREEZE, ANALYZE) bench_layout.${table}`);
    await this.#fill(table, vacuumed + 1, this.#options.rows);
    progress(`${title}: filled in ${seconds(startedAt)}`);
  }

  async measureVacuumed(layout: Layout, title: string, merchants: readonly string[]): Promise<Measured> {
    await this.#client.query(`VACUUM (FREEZE, ANALYZE) bench_layout.${layout.table}`);
    return this.measure(layout, title, merchants);
  }

  async #fill(table: string, from: number, to: number): Promise<void> {
    for (let first = from; first <= to; first += FILL_ROWS) {
      await this.#client.query(
        sqlFile('layouts/fill.sql', { table, from: first, to: Math.min(first + FILL_ROWS - 1, to) }),
      );
    }
  }

  async measure(layout: Layout, title: string, merchants: readonly string[]): Promise<Measured> {
    const startedAt = performance.now();
    const { table, order } = layout;
    const { rows } = await this.#client.query(sqlFile('layouts/sizes.sql', { table }));
    const measured: Measured = {
      title,
      touched: [],
      coldReads: [],
      coldMs: [],
      warmMs: [],
      plan: '',
      heapMb: rows[0].heap / 2 ** 20,
      indexMb: rows[0].indexes / 2 ** 20,
      rowsPerSecond: this.#rowsPerSecond.get(table) ?? Number.NaN,
    };
    const sample = layout.slow
      ? merchants.filter((_, index) => index % Math.ceil(merchants.length / SLOW_SAMPLE) === 0)
      : merchants;
    for (const merchant of sample) {
      const query = sqlFile('layouts/list.sql', { table, merchant, order });
      // The first run fills the catalogue caches, which would otherwise count as the query's.
      if (measured.warmMs.length === 0) await explain(this.#client, query);
      if (this.#eviction.possible) {
        await this.#eviction.evict();
        const cold = await explain(this.#client, query);
        measured.coldReads.push(cold.read);
        measured.coldMs.push(cold.ms);
      } else {
        await explain(this.#client, query);
      }
      const warm = await explain(this.#client, query);
      measured.touched.push(warm.hit + warm.read);
      measured.warmMs.push(warm.ms);
      measured.plan = warm.plan;
    }
    progress(`${title}: ${sample.length} merchants measured in ${seconds(startedAt)}`);
    return measured;
  }
}

interface Explained {
  hit: number;
  read: number;
  ms: number;
  plan: string;
}

async function explain(client: pg.Client, query: string): Promise<Explained> {
  const { rows } = await client.query(`EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) ${query}`);
  const [{ Plan: plan, 'Execution Time': ms }] = rows[0]['QUERY PLAN'];
  let scan = plan;
  while (scan.Plans) scan = scan.Plans[0];
  return { hit: plan['Shared Hit Blocks'], read: plan['Shared Read Blocks'], ms, plan: scan['Node Type'] };
}

function progress(line: string): void {
  console.error(`# ${line}`);
}

function seconds(sinceMs: number): string {
  return `${((performance.now() - sinceMs) / 1_000).toFixed(1)} s`;
}

/** Naive ÷ ours, by the pages that the same merchants' lists touch. */
function ratioOf(naive: Measured, ours: Measured): Ratio {
  const at = (share: number): number => percentile(naive.touched, share) / percentile(ours.touched, share);
  return { median: at(0.5), p99: at(0.99) };
}

async function sampleMerchants(client: pg.Client, count: number): Promise<string[]> {
  // Every merchant is as likely as any other: a tenant's experience counts, not the traffic.
  const { rows } = await client.query('SELECT id FROM bench_layout.merchants ORDER BY hashint8(id) LIMIT $1', [count]);
  return rows.map((row) => row.id);
}

/** Merchants with a full page, most of which was written after the last vacuum. */
async function freshMerchants(client: pg.Client, options: LayoutOptions): Promise<string[]> {
  const { rows } = await client.query(
    'SELECT merchant_id FROM bench_layout.source WHERE n > $1 GROUP BY 1 HAVING count(*) >= 50 ORDER BY count(*) DESC LIMIT $2',
    [options.rows - options.freshRows, options.sample],
  );
  return rows.map((row) => row.merchant_id);
}

/** The comparison, in a scratch database on the given server. */
export async function compareLayouts(serverUrl: string, options: LayoutOptions): Promise<Comparison> {
  const scratch = await scratchDatabase(serverUrl, 'bench_layout');
  const client = new pg.Client({
    connectionString: scratch.url,
    options: '-c jit=off -c max_parallel_workers_per_gather=0 -c vacuum_buffer_usage_limit=0 -c work_mem=64MB',
  });
  try {
    await client.connect();
    return await compare(client, options);
  } finally {
    await client.end();
    await scratch.drop();
  }
}

async function compare(client: pg.Client, options: LayoutOptions): Promise<Comparison> {
  const eviction = await Eviction.prepare(client, options.dropOsCache);
  const startedAt = performance.now();
  await client.query(sqlFile('source.sql', { rows: options.rows, merchants: options.merchants, tiny: options.tiny }));
  progress(
    `${options.rows} rows of ${options.merchants} + ${options.tiny} merchants generated in ${seconds(startedAt)}`,
  );
  const bench = new Bench(client, options, eviction);
  const merchants = await sampleMerchants(client, options.sample);
  const busiest = await freshMerchants(client, options);
  for (const layout of [...NAIVE, OURS]) await bench.create(layout);

  // Before the last vacuum …
  const oursNewest = await bench.measure(OURS, `ours, newest ${options.freshRows} rows not vacuumed`, merchants);
  const naiveNewest = await bench.measure(INDEXED, `${INDEXED.title}, before vacuum`, merchants);
  const oursBusiest = await bench.measure(OURS, `… its ${busiest.length} busiest merchants alone`, busiest);
  const naiveBusiest = await bench.measure(INDEXED, `… the same, ${INDEXED.title}`, busiest);
  // … and after it.
  const idOnly = await bench.measureVacuumed(ID_ONLY, ID_ONLY.title, merchants);
  const indexed = await bench.measureVacuumed(INDEXED, INDEXED.title, merchants);
  const bareKey = await bench.measureVacuumed(BARE_KEY, BARE_KEY.title, merchants);
  const ours = await bench.measureVacuumed(OURS, `${OURS.title}, vacuumed`, merchants);

  return {
    notes: [...(await describe(client, options, ours)), eviction.meaning],
    layouts: [idOnly, indexed, bareKey, ours, oursNewest, oursBusiest, naiveBusiest],
    vacuumed: ratioOf(indexed, ours),
    newest: ratioOf(naiveNewest, oursNewest),
    newestBusiest: ratioOf(naiveBusiest, oursBusiest),
    withoutIndex: ratioOf(idOnly, ours),
  };
}

async function describe(client: pg.Client, options: LayoutOptions, ours: Measured): Promise<string[]> {
  const { rows } = await client.query(
    `SELECT current_setting('server_version') AS version, current_setting('shared_buffers') AS buffers`,
  );
  const rowBytes = Math.round((ours.heapMb * 2 ** 20) / options.rows);
  return [
    `Last 100 transactions of a merchant: ${options.rows} rows of ${rowBytes} bytes in time order, ${options.merchants} merchants ` +
      `(Zipf 1.1) and ${options.tiny} tiny ones. PostgreSQL ${rows[0].version}, shared_buffers ${rows[0].buffers}.`,
    `p50 / p99 over ${options.sample} merchants drawn evenly (PK (id): ${SLOW_SAMPLE}); server time of the query.`,
  ];
}
