import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type ScratchDatabase, scratchDatabase } from '#db/bench/scratch-database.js';
import { startApi } from './api-process.js';
import { cloneMerchant } from './night-clones.js';
import { type Day, dayThatEndsSoon, recordDay } from './night-day.js';

export const API = join(import.meta.dirname, '..', 'apps', 'api', 'src', 'main.js');
export const OPERATOR_KEY = `cfo_${randomBytes(24).toString('hex')}`;

/** A database with merchants whose business day is over and not settled: to be copied, and never to be used itself. */
export class NightBook {
  readonly #serverUrl: string;
  readonly #source: ScratchDatabase;
  readonly day: Day;
  readonly #merchantId: bigint;

  private constructor(serverUrl: string, source: ScratchDatabase, day: Day, merchantId: bigint) {
    this.#serverUrl = serverUrl;
    this.#source = source;
    this.day = day;
    this.#merchantId = merchantId;
  }

  /** With one merchant, whose day has `entries` entries on `merchant_payable`. */
  static async open(serverUrl: string, entries: number): Promise<NightBook> {
    const source = await scratchDatabase(serverUrl, 'night_book');
    try {
      const api = await startApi(API, environmentOf(source));
      const day = dayThatEndsSoon();
      const merchantId = await recordDay(api.port, OPERATOR_KEY, day, entries).finally(() => api.stop());
      return new NightBook(serverUrl, source, day, merchantId);
    } catch (error) {
      await source.drop();
      throw error;
    }
  }

  /** From now on there are so many merchants. */
  async grow(merchants: number): Promise<void> {
    const owner = new pg.Client({ connectionString: this.#source.url });
    await owner.connect();
    await cloneMerchant(owner, this.#merchantId, merchants).finally(() => owner.end());
  }

  async copy(): Promise<ScratchDatabase> {
    const copy = await scratchDatabase(this.#serverUrl, 'night', this.#source);
    await sleep(Math.max(0, this.day.endMs - Date.now()));
    return copy;
  }

  close(): Promise<void> {
    return this.#source.drop();
  }
}

/** Of a service on this database. */
export function environmentOf({ url, runtimeUrl }: ScratchDatabase): NodeJS.ProcessEnv {
  return { DATABASE_URL: url, DATABASE_RUNTIME_URL: runtimeUrl, COUNTERFOIL_OPERATOR_KEY: OPERATOR_KEY };
}
