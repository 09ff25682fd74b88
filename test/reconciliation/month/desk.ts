import { type Json, OPERATOR_KEY, type TestApi } from '../../support/api.js';
import type { SimulatedBank } from '../../support/simulated-bank.js';
import { until } from '../../support/until.js';
import { upload } from '../../support/uploads.js';
import type { Credit } from './processor.js';

/** Whoever uploads reports for a merchant, fetches statements of its money, and reads what has come of them. */

export interface Uploaded {
  readonly source: string;
  readonly from: string;
  /** Not included. */
  readonly to: string;
  readonly slaDays: number;
}

export interface PlantedEntry {
  readonly fault: string;
  readonly reference: string;
}

const LIMIT_MS = 120_000;
const PAGE = 1_000;

export class Desk {
  constructor(
    private readonly api: TestApi,
    private readonly bank: SimulatedBank,
    private readonly merchantId: string,
  ) {}

  /** Answers the report when it is completed. */
  async upload({ source, from, to, slaDays }: Uploaded, content: string): Promise<Json> {
    const period = `period_from=${from}T00:00:00Z&period_to=${to}T00:00:00Z`;
    const options = {
      merchantId: this.merchantId,
      query: `source=${source}&${period}&sla_days=${slaDays}`,
      type: source === 'camt053' ? 'application/xml' : 'text/csv',
    };
    const { status, text, body } = await upload(this.api, options, content);
    if (status !== 202) throw new Error(`${source} of ${from} to ${to}: ${status} ${text}`);
    return until(
      `report ${body.id} is completed`,
      async () => {
        const { body: now } = await this.#get(`/v1/reconciliations/${body.id}`);
        if (now.status === 'failed') throw new Error(JSON.stringify(now));
        return now.status === 'completed' && now;
      },
      LIMIT_MS,
    );
  }

  /** Breaks in a state; absent: all that there ever were. */
  async breaks(status?: string): Promise<Json[]> {
    const all: Json[] = [];
    for (let cursor = ''; ; ) {
      const { body } = await this.#get(`/v1/breaks?limit=${PAGE}${status ? `&status=${status}` : ''}${cursor}`);
      all.push(...body.data);
      if (!body.has_more) return all;
      cursor = `&cursor=${encodeURIComponent(body.next_cursor)}`;
    }
  }

  async payIn({ reference, amount, currency, date }: Credit): Promise<void> {
    const body = {
      reference: `${reference} of ${this.merchantId}`,
      amount: String(amount),
      currency,
      at: `${date}T10:00:00Z`,
    };
    const { status, text } = await this.bank.client.post('/credits', { body: { ...body, owner: this.merchantId } });
    if (status !== 201) throw new Error(`${reference}: ${text}`);
  }

  /** Of a day; undefined: the bank has nothing of the merchant's. */
  async statement(asked: {
    day: string;
    faults: readonly string[];
    currency: string | undefined;
  }): Promise<{ text: string; planted: PlantedEntry[] } | undefined> {
    const { day, faults, currency } = asked;
    const wrong = faults.length > 0 ? `&faults=${faults.join(',')}` : '';
    const account = currency === undefined ? '' : `&account=COUNTERFOIL-${currency}`;
    const path = `/statements/${day}?owner=${this.merchantId}${account}${wrong}`;
    const { status, text, headers } = await this.bank.client.get(path);
    if (status === 404) return undefined;
    if (status !== 200) throw new Error(`the statement of ${day}: ${text}`);
    return { text, planted: JSON.parse(headers.get('planted-faults') ?? '[]') as PlantedEntry[] };
  }

  #get(path: string) {
    const headers = { authorization: `Bearer ${OPERATOR_KEY}`, 'counterfoil-merchant': this.merchantId };
    return this.api.client(headers).get(path);
  }
}
