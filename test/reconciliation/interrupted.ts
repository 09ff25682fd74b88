import type pg from 'pg';
import type { Service } from '../histories/servers.js';
import type { Json, Merchant, TestApi } from '../support/api.js';
import { until } from '../support/until.js';
import { Upload, type UploadOptions, upload } from '../support/uploads.js';
import { tellPlanted } from './ledger-of.js';
import { type Planted, plant } from './planted.js';
import { linesOf } from './writers.js';

/** One business whose reports overlap, come twice, at once and in part, while the worker that matches them is killed. */

const DAY_MS = 86_400_000;
const AT_MS = Math.floor(Date.now() / 1_000) * 1_000 - 6 * DAY_MS;
/** Rows of an upload that is cut: some of them are committed before it ends. */
const CUT_ROWS = 3_000;

export interface Interrupted {
  readonly api: TestApi;
  readonly owner: pg.Client;
  readonly worker: Service;
}

export class Business {
  private constructor(
    readonly on: Interrupted,
    readonly merchant: Merchant,
    readonly planted: Planted,
  ) {}

  static async open(on: Interrupted, payments: number): Promise<Business> {
    const merchant = await on.api.merchant('EUR', 'USD');
    const planted = plant('generic', { payments, faulty: 2, atMs: AT_MS });
    await tellPlanted(merchant, planted);
    return new Business(on, merchant, planted);
  }

  /** Uploads the report from a row on, and answers its id. What is not all of it is of a period in which nothing was due. */
  async upload(from = 0): Promise<string> {
    const options = this.#options(from === 0 ? AT_MS - DAY_MS : AT_MS + 1);
    const { status, text, body } = await upload(this.on.api, options, this.#bytes(from));
    if (status !== 202) throw new Error(text);
    return body.id;
  }

  /** A client that goes away in the middle, when some of its rows are committed. */
  async cut(): Promise<void> {
    const sending = new Upload(this.on.api, this.#options(AT_MS));
    const lines = this.#bytes().split('\n');
    const [head, row] = [lines[0], lines[1] as string];
    const rows = Array.from({ length: CUT_ROWS }, (_, nth) => row.replace(/-p\d+,/, `-cut${nth},`));
    const before = await this.count('report_staging');
    await sending.send(`${[head, ...rows].join('\n')}\n`);
    await until('some of it is committed', async () => (await this.count('report_staging')) > before);
    sending.breakOff();
    await until('it has failed', async () => (await this.#reports("status = 'failed'")).length > 0);
  }

  /** Kills the worker while it waits for its next chunk, the share of rows being left; answers how many were. */
  async killMatching(share: number): Promise<number> {
    const total = await this.count('report_staging');
    await until('some rows are matched', async () => {
      const [rows, left] = [await this.count('report_rows'), await this.count('report_staging')];
      return rows > 0 && left <= total * share;
    });
    const { owner, worker } = this.on;
    await owner.query('BEGIN');
    await owner.query('SELECT FROM reconciliation_turns WHERE merchant_id = $1 FOR UPDATE', [this.merchant.id]);
    await worker.crash();
    const left = await this.count('report_staging');
    await owner.query('ROLLBACK');
    return left;
  }

  async completed(id: string): Promise<Json> {
    return until('it is completed', async () => {
      const { body } = await this.on.api.actingFor(this.merchant.id).get(`/v1/reconciliations/${id}`);
      return body.status === 'completed' && body;
    });
  }

  /** What is not as it must be, in words. */
  async offences(): Promise<string[]> {
    const { count, expected, matched } = this.planted;
    const is = async (what: string, text: string, wanted: number) => {
      const { rows: found } = await this.on.owner.query(text, [this.merchant.id]);
      const [{ count }] = found as [{ count: string }];
      return Number(count) === wanted ? [] : [`${what}: ${count}, not ${wanted}`];
    };
    const events = (type: string) => `FROM events WHERE merchant_id = $1 AND type = '${type}'`;
    const open = await this.#breaks('resolution IS NULL');
    const all = (await this.#breaks('true')).length;
    const completed = (await this.#reports("status = 'completed'")).length;
    const found = [
      ...(await is('rows', 'SELECT count(*) FROM report_rows WHERE merchant_id = $1', count)),
      ...(await is('matched', 'SELECT count(rule) AS count FROM report_rows WHERE merchant_id = $1', matched)),
      ...(await is('staged', 'SELECT count(*) FROM report_staging WHERE merchant_id = $1', 0)),
      ...(await is('openings told', `SELECT count(*) ${events('break.opened')}`, all)),
      ...(await is('of breaks', `SELECT count(DISTINCT data ->> 'break_id') AS count ${events('break.opened')}`, all)),
      ...(await is('endings told', `SELECT count(*) ${events('break.resolved')}`, all - open.length)),
      ...(await is('completions told', `SELECT count(*) ${events('reconciliation.completed')}`, completed)),
    ];
    const differs = JSON.stringify(open) !== JSON.stringify(expected);
    return differs ? [...found, `breaks: ${open.join(', ')}; not ${expected.join(', ')}`] : found;
  }

  async count(table: 'report_staging' | 'report_rows'): Promise<number> {
    const { rows } = await this.on.owner.query(`SELECT count(*) FROM ${table} WHERE merchant_id = $1`, [
      this.merchant.id,
    ]);
    return Number(rows[0].count);
  }

  async #breaks(where: string): Promise<string[]> {
    const text = `SELECT kind || ' ' || coalesce(reference, '') AS found FROM breaks WHERE merchant_id = $1 AND ${where}`;
    return (await this.on.owner.query(text, [this.merchant.id])).rows.map(({ found }) => found).sort();
  }

  async #reports(where: string): Promise<Json[]> {
    const text = `SELECT id FROM reconciliations WHERE merchant_id = $1 AND ${where}`;
    return (await this.on.owner.query(text, [this.merchant.id])).rows;
  }

  #options(fromMs: number): UploadOptions {
    const [from, to] = [fromMs, AT_MS + DAY_MS].map((ms) => new Date(ms).toISOString());
    return { merchantId: this.merchant.id, query: `source=generic&period_from=${from}&period_to=${to}` };
  }

  #bytes(from = 0): string {
    const { batch } = this.planted;
    return [...linesOf('generic', [...this.planted.rows()].slice(from), batch)].join('');
  }
}
