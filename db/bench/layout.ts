import { closeSync, openSync, writeSync } from 'node:fs';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { migrate } from '#db/migrate.js';
import { scratchDatabase } from './scratch-database.js';
import { sqlFile } from './sql-file.js';
import { figure, percentile, textTable } from './text-table.js';

/**
 * `npm run bench:layout`: what "the last 100 transactions of a merchant" costs under four layouts of the same rows. Prints
 * pages touched and milliseconds, buffers cold and warm, and row 8 of the goals.
 */

interface Layout {
  table: string;
  title: string;
  /** How this layout can serve "newest first" best. */
  order: string;
  /** Seconds rather than milliseconds a query. */
  slow?: boolean;
}

const BY_KEY = 'created_at DESC, id DESC';
const LAYOUTS: readonly Layout[] = [
  { table: 'id_only', title: 'PK (id)', order: 'id DESC', slow: true },
  { table: 'secondary', title: 'PK (id) + index (merchant_id, created_at DESC)', order: 'created_at DESC' },
  { table: 'bare_key', title: 'PK (merchant_id, created_at, id)', order: BY_KEY },
];
const OURS: Layout = { table: 'covering', title: 'ours: the same key, covering', order: BY_KEY };

const FILES: Record<string, string> = {
  id_only: 'layouts/id-only.sql',
  secondary: 'layouts/secondary.sql',
  bare_key: 'layouts/bare-key.sql',
  covering: 'layouts/covering.sql',
};
/** Each fill is one transaction, as long as a ledger's night job might be. */
const FILL_ROWS = 20_000;
const SLOW_SAMPLE = 10;
const DROP_CACHES = '/proc/sys/vm/drop_caches';

interface Options {
  rows: number;
  merchants: number;
  tiny: number;
  freshRows: number;
  sample: number;
  dropOsCache: boolean;
}

interface Measured {
  title: string;
  /** Buffers hit or read by the query's plan. */
  touched: number[];
  /** Of those, read from outside the buffers once these were evicted. */
  coldReads: number[];
  coldMs: number[];
  warmMs: number[];
  node: string;
  heapMb: number;
  indexMb: number;
  rowsPerSecond: number;
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      rows: { type: 'string', default: '1000000' },
      merchants: { type: 'string', default: '500' },
      tiny: { type: 'string', default: '20' },
      'fresh-rows': { type: 'string', default: '10000' },
      sample: { type: 'string', default: '200' },
      'drop-os-cache': { type: 'boolean', default: false },
    },
  });
  const whole = (name: 'rows' | 'merchants' | 'tiny' | 'fresh-rows' | 'sample', least: number): number => {
    const value = Number(values[name]);
    if (!Number.isSafeInteger(value) || value < least) throw new Error(`--${name} wants a whole number of at least ${least}`);
    return value;
  };
  return {
    rows: whole('rows', 10_000),
    merchants: whole('merchants', 1),
    tiny: whole('tiny', 0),
    freshRows: whole('fresh-rows', 1),
    sample: whole('sample', 1),
    dropOsCache: values['drop-os-cache'],
  };
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
        console.log(`No cold figures: pg_buffercache could not be created (${error.message}).`);
        return false;
      },
    );
    const { rows } = await client.query(`SELECT current_setting('debug_io_direct', true) AS direct`);
    const direct = /data/.test(rows[0].direct ?? '');
    const drops = dropOsCache && !direct && mayDropCaches();
    if (dropOsCache && !direct && !drops) console.log(`${DROP_CACHES} is not writable here: the kernel's page cache stays.`);
    return new Eviction(client, { evicts, drops, direct });
  }

  static #explain({ evicts, drops, direct }: { evicts: boolean; drops: boolean; direct: boolean }): string {
    if (!evicts) return 'Cold: not measured (pg_buffercache wants a superuser).';
    const buffers = 'Cold = every shared buffer evicted before each query (pg_buffercache_evict_all)';
    if (direct) return `${buffers}, and data files are read with O_DIRECT (debug_io_direct = data): each read is the disk's.`;
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
  readonly #options: Options;
  readonly #eviction: Eviction;
  readonly #rowsPerSecond = new Map<string, number>();

  constructor(client: pg.Client, options: Options, eviction: Eviction) {
    this.#client = client;
    this.#options = options;
    this.#eviction = eviction;
  }

  async create({ table, title }: Layout): Promise<void> {
    await this.#client.query(sqlFile(FILES[table] as string));
    const startedAt = performance.now();
    const vacuumed = this.#options.rows - this.#options.freshRows;
    await this.#fill(table, 1, vacuumed);
    this.#rowsPerSecond.set(table, vacuumed / ((performance.now() - startedAt) / 1_000));
    await this.#client.query(`VACUUM (FREEZE, ANALYZE) bench_layout.${table}`);
    progress(`${title}: ${vacuumed} rows in ${seconds(startedAt)}, vacuumed`);
  }

  /** The newest rows, which no vacuum has seen. */
  async addFreshRows({ table }: Layout): Promise<void> {
    await this.#fill(table, this.#options.rows - this.#options.freshRows + 1, this.#options.rows);
  }

  async vacuum({ table }: Layout): Promise<void> {
    await this.#client.query(`VACUUM (FREEZE, ANALYZE) bench_layout.${table}`);
  }

  async #fill(table: string, from: number, to: number): Promise<void> {
    for (let first = from; first <= to; first += FILL_ROWS) {
      await this.#client.query(sqlFile('layouts/fill.sql', { table, from: first, to: Math.min(first + FILL_ROWS - 1, to) }));
    }
  }

  async measure(layout: Layout, title: string, merchants: readonly string[]): Promise<Measured> {
    const startedAt = performance.now();
    const { table, order } = layout;
    const { rows } = await this.#client.query(sqlFile('layouts/sizes.sql', { table }));
    const measured: Measured = {
      title, touched: [], coldReads: [], coldMs: [], warmMs: [], node: '',
      heapMb: rows[0].heap / 2 ** 20, indexMb: rows[0].indexes / 2 ** 20, rowsPerSecond: this.#rowsPerSecond.get(table) ?? Number.NaN,
    };
    const sample = layout.slow ? merchants.filter((_, index) => index % Math.ceil(merchants.length / SLOW_SAMPLE) === 0) : merchants;
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
      measured.node = warm.node;
    }
    progress(`${title}: ${sample.length} merchants measured in ${seconds(startedAt)}`);
    return measured;
  }
}

interface Explained {
  hit: number;
  read: number;
  ms: number;
  node: string;
}

async function explain(client: pg.Client, query: string): Promise<Explained> {
  const { rows } = await client.query(`EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) ${query}`);
  const [{ Plan: plan, 'Execution Time': ms }] = rows[0]['QUERY PLAN'];
  let scan = plan;
  while (scan.Plans) scan = scan.Plans[0];
  return { hit: plan['Shared Hit Blocks'], read: plan['Shared Read Blocks'], ms, node: scan['Node Type'] };
}

function progress(line: string): void {
  console.error(`# ${line}`);
}

function seconds(sinceMs: number): string {
  return `${((performance.now() - sinceMs) / 1_000).toFixed(1)} s`;
}

function pair(samples: readonly number[]): string {
  return samples.length === 0 ? '–' : `${figure(percentile(samples, 0.5))} / ${figure(percentile(samples, 0.99))}`;
}

function printTable(all: readonly Measured[]): void {
  const header = ['layout', 'pages touched', 'cold reads', 'cold ms', 'warm ms', 'index MB', 'heap MB', 'rows/s written', 'plan'];
  const rows = all.map((m) => [
    m.title, pair(m.touched), pair(m.coldReads), pair(m.coldMs), pair(m.warmMs),
    figure(m.indexMb), figure(m.heapMb), Number.isNaN(m.rowsPerSecond) ? '–' : figure(m.rowsPerSecond), m.node,
  ]);
  console.log(`\n${textTable(header, rows)}`);
}

/** Row 8: naive ÷ ours, by the pages that one and the same merchant's list touches; median and range over the merchants. */
function printRatio(name: string, naive: Measured, ours: Measured, goal: number): void {
  const ratio = percentile(naive.touched, 0.5) / percentile(ours.touched, 0.5);
  const at99 = percentile(naive.touched, 0.99) / percentile(ours.touched, 0.99);
  console.log(`${name}: ${figure(ratio)} at the median, ${figure(at99)} at p99 (goal ≥ ${goal}: ${ratio >= goal ? 'reached' : 'not reached'})`);
}

async function sampleMerchants(client: pg.Client, count: number): Promise<string[]> {
  // Every merchant is as likely as any other: a tenant's experience counts, not the traffic.
  const { rows } = await client.query('SELECT id FROM bench_layout.merchants ORDER BY hashint8(id) LIMIT $1', [count]);
  return rows.map((row) => row.id);
}

/** Merchants with a full page, most of which was written after the last vacuum. */
async function freshMerchants(client: pg.Client, options: Options): Promise<string[]> {
  const { rows } = await client.query(
    'SELECT merchant_id FROM bench_layout.source WHERE n > $1 GROUP BY 1 HAVING count(*) >= 50 ORDER BY count(*) DESC LIMIT $2',
    [options.rows - options.freshRows, options.sample],
  );
  return rows.map((row) => row.merchant_id);
}

async function main(): Promise<void> {
  const options = readOptions();
  const serverUrl = process.env['DATABASE_URL'];
  if (!serverUrl) throw new Error('DATABASE_URL is not set; start this through `npm run bench:layout`');
  const scratch = await scratchDatabase(serverUrl, 'counterfoil_bench_layout');
  const client = new pg.Client({ connectionString: scratch.url, options: '-c jit=off -c max_parallel_workers_per_gather=0 -c vacuum_buffer_usage_limit=0 -c work_mem=64MB' });
  try {
    await migrate(scratch.url);
    await client.connect();
    await run(client, options);
  } finally {
    await client.end();
    await scratch.drop();
  }
}

async function run(client: pg.Client, options: Options): Promise<void> {
  const eviction = await Eviction.prepare(client, options.dropOsCache);
  const startedAt = performance.now();
  await client.query(sqlFile('source.sql', { rows: options.rows, merchants: options.merchants, tiny: options.tiny }));
  progress(`${options.rows} rows of ${options.merchants} + ${options.tiny} merchants generated in ${seconds(startedAt)}`);
  const bench = new Bench(client, options, eviction);
  const merchants = await sampleMerchants(client, options.sample);
  const fresh = await freshMerchants(client, options);
  const naive = LAYOUTS[1] as Layout;

  for (const layout of [...LAYOUTS, OURS]) {
    await bench.create(layout);
    await bench.addFreshRows(layout);
  }
  // Before the last vacuum …
  const oursFresh = await bench.measure(OURS, `ours, newest ${options.freshRows} rows not vacuumed`, merchants);
  const naiveFresh = await bench.measure(naive, 'naive, all merchants, newest rows not vacuumed', merchants);
  const oursBusy = await bench.measure(OURS, '… its busiest merchants (half a page or more is new)', fresh);
  const naiveBusy = await bench.measure(naive, '… the same merchants, PK (id) + index', fresh);
  // … and after it.
  const all: Measured[] = [];
  for (const layout of [...LAYOUTS, OURS]) {
    await bench.vacuum(layout);
    all.push(await bench.measure(layout, layout === OURS ? `${layout.title}, vacuumed` : layout.title, merchants));
  }

  const [idOnly, secondary, , ours] = all as [Measured, Measured, Measured, Measured];
  const { rows } = await client.query(`SELECT current_setting('server_version') AS version, current_setting('shared_buffers') AS buffers`);
  console.log(`\nLast 100 transactions of a merchant, ${options.rows} rows, ${options.merchants} merchants (Zipf 1.1) and ${options.tiny} tiny ones, ${Math.round((ours.heapMb * 2 ** 20) / options.rows)} bytes a row.`);
  console.log(`PostgreSQL ${rows[0].version}, shared_buffers ${rows[0].buffers}. Figures are p50 / p99 over ${merchants.length} merchants drawn evenly (PK (id): ${SLOW_SAMPLE}), server time.`);
  console.log(eviction.meaning);
  printTable([...all, oursFresh, oursBusy, naiveBusy]);
  console.log('');
  printRatio('8   PK (id) + index ÷ ours, vacuumed', secondary, ours, 10);
  printRatio('8   PK (id) + index ÷ ours, newest rows not vacuumed', naiveFresh, oursFresh, 2);
  printRatio('    … of the busiest merchants alone', naiveBusy, oursBusy, 2);
  console.log(`    PK (id) ÷ ours, vacuumed: ${figure(percentile(idOnly.touched, 0.5) / percentile(ours.touched, 0.5))} at the median`);
}

await main();
