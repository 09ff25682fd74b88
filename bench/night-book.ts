import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type ScratchDatabase, scratchDatabase } from '#db/bench/scratch-database.js';
import { cloneMerchant } from './night-clones.js';
import { type Day, dayBefore, dayThatEndsSoon, openMerchant, recordDay } from './night-day.js';
import { NightService } from './night-service.js';

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

  /** With one merchant, whose day before is settled, and whose day has `entries` entries on `merchant_payable`. */
  static async open(serverUrl: string, entries: number): Promise<NightBook> {
    const source = await scratchDatabase(serverUrl, 'night_book');
    try {
      const day = dayThatEndsSoon();
      const service = await NightService.start(source);
      const merchantId = await recordAt(service, day, entries).finally(() => service.stop());
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

/** A night like others: the day before is settled, so that it is not the merchant's first. */
async function recordAt(service: NightService, day: Day, entries: number): Promise<bigint> {
  const merchant = await openMerchant(service.clientOf(), day);
  const client = service.clientOf(merchant.apiKey);
  await recordDay(client, Math.ceil(entries / 10), dayBefore(day));
  await service.settle(dayBefore(day).businessDate);
  await recordDay(client, entries, day);
  return merchant.id;
}
