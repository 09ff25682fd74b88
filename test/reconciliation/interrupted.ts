import { type Json, Merchant } from '../support/api.js';
import { until } from '../support/until.js';
import { Upload, type UploadOptions } from '../support/uploads.js';
import { tellPlanted } from './ledger-of.js';
import { type Planted, plant } from './planted.js';
import type { Stage, Struck } from './stage.js';
import { linesOf } from './writers.js';

/** One business whose reports overlap, come twice, at once and in part, while whoever receives and matches them is struck. */

const DAY_MS = 86_400_000;
const AT_MS = Math.floor(Date.now() / 1_000) * 1_000 - 6 * DAY_MS;
/** In a column that nobody reads: a receiver takes up bytes by 64 KiB, and some of them are to be rows before the report ends. */
const NOTE = 'n'.repeat(2_000);
/** Of a report that is interrupted so much is sent before. */
const BEFORE = 0.7;
const LONG_MS = 90_000;

export class Business {
  private constructor(
    readonly on: Stage,
    readonly merchant: Merchant,
    readonly planted: Planted,
  ) {}

  static async open(on: Stage, payments: number): Promise<Business> {
    const facts = { name: 'Struck', time_zone: 'UTC', settlement_cutoff: '00:00', currencies: ['EUR', 'USD'] };
    const { body, text } = await on.client().post('/v1/merchants', { body: facts });
    if (body?.api_key === undefined) throw new Error(text);
    const client = on.client({ authorization: `Bearer ${body.api_key.secret}` });
    const merchant = new Merchant(body.id, client, body.api_key, {});
    const planted = plant('generic', { payments, faulty: 2, atMs: AT_MS });
    await tellPlanted(merchant, planted);
    return new Business(on, merchant, planted);
  }

  /** Uploads the report from a row on until it is taken; answers its id. What is not all of it is of a period in which nothing was due. */
  async upload(from = 0): Promise<string> {
    return until('it is taken', async () => {
      const sending = new Upload(this.on, this.#options(from));
      const answer = await sending.end(this.#bytes(from)).catch(() => undefined);
      if (answer?.status === 202) return answer.body.id as string;
      if (answer !== undefined && ![429, 503, 504].includes(answer.status)) throw new Error(answer.text);
      return false;
    });
  }

  /** Ends an upload when some of its rows are committed and others are to come. It leaves nothing. */
  async breakOff(who: 'client' | 'api'): Promise<void> {
    const { sending } = await this.#begun();
    if (who === 'client') sending.breakOff();
    else await this.on.strike(who, 'in mid-upload');
    await until('it has failed', async () => (await this.#count('reconciliations', "status = 'failed'")) > 0);
    const left = await Promise.all([this.count('report_staging'), this.count('report_rows')]);
    if (left.some((rows) => rows > 0)) throw new Error(`it has left ${left.join(' and ')} rows`);
  }

  /** Uploads the report, and strikes when some of it is committed. It is taken all the same, or leaves nothing and is sent again. */
  async shake(what: 'postgres' | 'queue'): Promise<string> {
    const { sending, rest } = await this.#begun();
    await this.on.strike(what, 'in mid-upload');
    const answer = await sending.end(rest).catch(() => undefined);
    return answer?.status === 202 ? answer.body.id : this.upload();
  }

  async #begun(): Promise<{ sending: Upload; rest: string }> {
    const sending = new Upload(this.on, this.#options(0));
    const bytes = this.#bytes(0);
    const middle = Math.floor(bytes.length * BEFORE);
    await sending.send(bytes.slice(0, middle));
    await until('some of it is committed', async () => (await this.count('report_staging')) > 0);
    return { sending, rest: bytes.slice(middle) };
  }

  /** Strikes while the reports are matched, the share of rows being left; answers how many were. */
  async interruptMatching(what: Struck, share: number): Promise<number> {
    const total = await this.count('report_staging');
    await until('some rows are matched', async () => {
      const [rows, left] = [await this.count('report_rows'), await this.count('report_staging')];
      return (rows > 0 && left <= total * share) || left === 0;
    });
    await this.on.strike(what, 'in mid-matching');
    return this.count('report_staging');
  }

  async completed(id: string): Promise<Json> {
    return until(
      'it is completed',
      async () => {
        const { body } = await this.#acting().get(`/v1/reconciliations/${id}`);
        if (body?.status === 'failed') throw new Error(body.failure);
        return body?.status === 'completed' && body;
      },
      LONG_MS,
    );
  }

  /** Once nobody receives or matches anything: who died is seen to. */
  async quiet(): Promise<void> {
    const unfinished = () => this.#count('reconciliations', "status IN ('receiving', 'matching')");
    await until('every report has ended', async () => (await unfinished()) === 0, LONG_MS);
  }

  /** What is not as it must be, in words. */
  async offences(): Promise<string[]> {
    const { count, expected, matched } = this.planted;
    const is = async (what: string, text: string, wanted: number) => {
      const [found] = await this.on.read(text, [this.merchant.id]);
      return Number(found.count) === wanted ? [] : [`${what}: ${found.count}, not ${wanted}`];
    };
    const events = (type: string) => `FROM events WHERE merchant_id = $1 AND type = '${type}'`;
    const open = await this.#breaks('resolution IS NULL');
    const all = (await this.#breaks('true')).length;
    const completed = await this.#count('reconciliations', "status = 'completed'");
    const found = [
      ...(await is('rows', 'SELECT count(*) FROM report_rows WHERE merchant_id = $1', count)),
      ...(await is('matched', 'SELECT count(rule) AS count FROM report_rows WHERE merchant_id = $1', matched)),
      ...(await is('staged', 'SELECT count(*) FROM report_staging WHERE merchant_id = $1', 0)),
      ...(await is('openings told', `SELECT count(*) ${events('break.opened')}`, all)),
      ...(await is('of breaks', `SELECT count(DISTINCT data ->> 'break_id') AS count ${events('break.opened')}`, all)),
      ...(await is('endings told', `SELECT count(*) ${events('break.resolved')}`, all - open.length)),
      ...(await is('completions told', `SELECT count(*) ${events('reconciliation.completed')}`, completed)),
      ...(await this.#totals()),
    ];
    const differs = JSON.stringify(open) !== JSON.stringify(expected);
    return differs ? [...found, `breaks: ${open.join(', ')}; not ${expected.join(', ')}`] : found;
  }

  /** What reports say that their rows come to, of those that told each row first. */
  async #totals(): Promise<string[]> {
    const [{ told, rows }] = await this.on.read(
      `SELECT (SELECT sum((t ->> 'net')::bigint) FROM reconciliations r CROSS JOIN LATERAL json_array_elements(r.totals) t
                WHERE r.merchant_id = $1 AND r.status = 'completed') AS told,
              (SELECT sum(net) FROM report_rows WHERE merchant_id = $1) AS rows`,
      [this.merchant.id],
    );
    let net = 0n;
    for (const { gross, fee } of this.planted.rows()) net += gross - fee;
    return told === rows && rows === String(net) ? [] : [`totals: told ${told}, rows ${rows}, planted ${net}`];
  }

  count(table: 'report_staging' | 'report_rows'): Promise<number> {
    return this.#count(table, 'true');
  }

  async #count(table: string, where: string): Promise<number> {
    const text = `SELECT count(*) FROM ${table} WHERE merchant_id = $1 AND ${where}`;
    return Number((await this.on.read(text, [this.merchant.id]))[0].count);
  }

  async #breaks(where: string): Promise<string[]> {
    const text = `SELECT kind || ' ' || coalesce(reference, '') AS found FROM breaks WHERE merchant_id = $1 AND ${where}`;
    return (await this.on.read(text, [this.merchant.id])).map(({ found }) => found).sort();
  }

  #acting() {
    return this.on.client({ 'counterfoil-merchant': this.merchant.id });
  }

  #options(from: number): UploadOptions {
    const [begin, end] = [from === 0 ? AT_MS - DAY_MS : AT_MS + 1, AT_MS + DAY_MS].map((ms) =>
      new Date(ms).toISOString(),
    );
    return { merchantId: this.merchant.id, query: `source=generic&period_from=${begin}&period_to=${end}` };
  }

  #bytes(from: number): string {
    const [head = '', ...lines] = [...linesOf('generic', [...this.planted.rows()].slice(from), this.planted.batch)];
    return [`${head.trim()},note\n`, ...lines.map((line) => `${line.trim()},${NOTE}\n`)].join('');
  }
}
