import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { median } from '#db/bench/text-table.js';
import { NightBook } from './night-book.js';
import { type Settled, settleByHand, settleByService } from './night-settlement.js';

/** `npm run bench:night`: see docs/figures/night.md. */

const { values } = parseArgs({
  options: {
    smoke: { type: 'boolean', default: false },
    merchants: { type: 'string' },
    entries: { type: 'string' },
    rounds: { type: 'string' },
    only: { type: 'string' },
  },
});
const defaults = values.smoke
  ? { merchants: 50, entries: 100, rounds: 1 }
  : { merchants: 10_000, entries: 100, rounds: 3 };
const merchants = Number(values.merchants ?? defaults.merchants);
const entries = Number(values.entries ?? defaults.entries);
const rounds = Number(values.rounds ?? defaults.rounds);
const wanted = (part: string): boolean => values.only === undefined || values.only.split(',').includes(part);
const serverUrl = process.env.DATABASE_URL;
if (!serverUrl) throw new Error('DATABASE_URL is not set; run npm run bench:night');

const book = await NightBook.open(serverUrl, entries);
try {
  console.log(
    `${merchants} merchants × ${entries} entries; ${cpus().length} cores for server, API, worker and harness.`,
  );
  await book.grow(Math.ceil(merchants / 10));
  if (wanted('memory')) await measureMemory(Math.ceil(merchants / 10));
  await book.grow(merchants);
  progress('the book is full');
  if (wanted('settlement')) await measureSettlement();
} finally {
  await book.close();
}

async function measureMemory(count: number): Promise<void> {
  const { before, peakMemory, seconds } = await settleByService(book);
  console.log(
    `memory: ${count * entries} entries in ${seconds.toFixed(1)} s, ${memory(before)} → ${memory(peakMemory)}`,
  );
}

async function measureSettlement(): Promise<void> {
  const ratios: number[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    const isHandFirst = round % 2 === 1;
    const before = isHandFirst ? await settleByHand(book) : undefined;
    const service = await settleByService(book);
    const hand = before ?? (await settleByHand(book));
    same(hand, service);
    ratios.push(hand.seconds / service.seconds);
    console.log(
      `round ${round}: by hand ${hand.seconds.toFixed(1)} s, by the service ${service.seconds.toFixed(1)} s ` +
        `(${Math.round((merchants * entries) / service.seconds)} entries/s), ratio ${ratios.at(-1)?.toFixed(2)}; ` +
        `memory ${memory(service.before)} → ${memory(service.peakMemory)}`,
    );
  }
  console.log(
    `settlement ÷ by hand: ${median(ratios).toFixed(2)} (${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)})`,
  );
}

function same(hand: Settled, service: Settled): void {
  if (hand.outcome === service.outcome) return;
  console.log(`by hand ${hand.outcome}, by the service ${service.outcome}`);
  process.exitCode = 1;
}

function memory(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}

function progress(line: string): void {
  console.error(`# ${line}`);
}
