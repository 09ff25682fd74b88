import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { median, textTable } from '#db/bench/text-table.js';
import { chosen } from './chosen.js';
import { NightBook } from './night-book.js';
import { payOut } from './night-payouts.js';
import { postBeside } from './night-postings.js';
import { type Settled, settleByHand, settleByService } from './night-settlement.js';

/** `npm run bench:night`: see docs/figures/night.md. */

const { values } = parseArgs({
  options: {
    smoke: { type: 'boolean', default: false },
    merchants: { type: 'string' },
    entries: { type: 'string' },
    rounds: { type: 'string' },
    only: { type: 'string' },
    statements: { type: 'boolean', default: false },
  },
});
/** What a worker at rest takes, and half of it again. */
const HEAP_MIB = 96;
const defaults = values.smoke
  ? { merchants: 50, entries: 100, rounds: 1, measureMs: 500, payouts: 2 }
  : { merchants: 10_000, entries: 100, rounds: 3, measureMs: 8_000, payouts: 50 };
const merchants = Number(values.merchants ?? defaults.merchants);
const entries = Number(values.entries ?? defaults.entries);
const rounds = Number(values.rounds ?? defaults.rounds);
const PARTS = ['memory', 'payouts', 'settlement', 'postings'] as const;
const parts = chosen(values.only, PARTS);
const wanted = (part: (typeof PARTS)[number]): boolean => parts.includes(part);
const serverUrl = process.env.DATABASE_URL;
if (!serverUrl) throw new Error('DATABASE_URL is not set; run npm run bench:night');

const book = await NightBook.open(serverUrl, entries);
try {
  console.log(
    `${merchants} merchants × ${entries} entries; ${cpus().length} cores for server, API, worker and harness.`,
  );
  await book.grow(Math.ceil(merchants / 10));
  if (wanted('memory')) await measureMemory(Math.ceil(merchants / 10));
  if (wanted('payouts')) await measurePayouts();
  await book.grow(merchants);
  progress('the book is full');
  if (wanted('memory')) await measureMemory(merchants);
  if (wanted('settlement')) await measureSettlement();
  if (wanted('postings')) await measurePostings();
} finally {
  await book.close();
}

/** With a heap that a worker which kept what it settled would outgrow, and end: what it needs is told apart from what V8 has not collected yet. */
async function measureMemory(count: number): Promise<void> {
  const { before, peakMemory, seconds } = await settleByService(book, { heapMib: HEAP_MIB });
  const heap = `a heap of at most ${HEAP_MIB} MiB`;
  console.log(
    `memory, ${heap}: ${count * entries} entries in ${seconds.toFixed(1)} s, ${memory(before)} → ${memory(peakMemory)}`,
  );
}

async function measurePayouts(): Promise<void> {
  const rates: number[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    const { payouts, perSecond } = await payOut(book, defaults.payouts);
    rates.push(perSecond);
    progress(`${payouts} payouts, ${perSecond.toFixed(0)} a second`);
  }
  console.log(`payouts a second, requested to paid: ${spread(rates, 0)}`);
}

async function measureSettlement(): Promise<void> {
  const ratios: number[] = [];
  const rows: string[][] = [];
  for (let round = 1; round <= rounds; round += 1) {
    const before = round % 2 === 1 ? await settleByHand(book) : undefined;
    const service = await settleByService(book, values.statements ? { onStatements: console.log } : {});
    const hand = before ?? (await settleByHand(book));
    same(hand, service);
    ratios.push(hand.seconds / service.seconds);
    rows.push([
      String(round),
      ...[hand.seconds, hand.postgres, service.seconds, service.postgres, service.worker].map((one) => one.toFixed(1)),
      String(Math.round((merchants * entries) / service.seconds)),
      memory(service.before),
      memory(service.peakMemory),
      (ratios.at(-1) ?? Number.NaN).toFixed(2),
    ]);
    progress(`settled ${round} of ${rounds} times by hand and by the service`);
  }
  const header = [
    'round',
    'by hand s',
    'its CPU s',
    'service s',
    'PostgreSQL s',
    'worker s',
    'entries/s',
    'memory',
    'peak',
    'ratio',
  ];
  console.log(`${textTable(header, rows, 0)}\nsettlement by the service ÷ by hand: ${spread(ratios, 2)}`);
}

async function measurePostings(): Promise<void> {
  const ratios = { settled: [] as number[], others: [] as number[] };
  for (let round = 1; round <= rounds; round += 1) {
    const { isWhole, perSecond, without, during } = await postBeside(book, defaults.measureMs);
    for (const who of ['settled', 'others'] as const) {
      ratios[who].push(during[who].p99 / without[who].p99);
      const [a, b] = [without[who], during[who]].map(({ p50, p99 }) => `${p50.toFixed(1)} / ${p99.toFixed(1)} ms`);
      console.log(`postings of ${who}, ${perSecond.toFixed(0)}/s in all: p50 / p99 ${a} without, ${b} beside a night`);
    }
    if (!isWhole) console.log('the night was over before the postings were');
  }
  for (const who of ['settled', 'others'] as const)
    console.log(`p99 of postings beside a night ÷ without, ${who}: ${spread(ratios[who], 2)}`);
}

function spread(values: readonly number[], digits: number): string {
  const [low, middle, high] = [Math.min(...values), median(values), Math.max(...values)];
  return `${middle.toFixed(digits)} (${low.toFixed(digits)}–${high.toFixed(digits)})`;
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
