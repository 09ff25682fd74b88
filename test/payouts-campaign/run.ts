import { Dice } from '../histories/history.js';
import type { Build } from '../histories/servers.js';
import { type Asked, interrupt } from './interrupt.js';
import { judge } from './judge.js';
import { ALL, type Destination, type Point } from './points.js';
import { Stage } from './stage.js';

export interface PayoutsCampaign {
  readonly points: readonly Point[];
  /** How often each point is come to at most: until a payout of each destination has been there. */
  readonly visits: number;
  readonly seed: number;
}

export interface PayoutsOutcome {
  readonly report: string;
  readonly offences: readonly string[];
  /** How often a payout of a destination was interrupted at a point. */
  readonly hits: ReadonlyMap<Point, ReadonlyMap<Destination, number>>;
}

const SHOWN = 20;
const LARGEST = 100_000;

/** Payouts to every destination, interrupted at every point; then all of them are judged by what the bank was to do. */
export async function runPayouts(build: Build, { points, visits, seed }: PayoutsCampaign): Promise<PayoutsOutcome> {
  const stage = await Stage.open(build);
  try {
    const from = performance.now();
    const dice = new Dice(seed);
    const hits = new Map(points.map((point) => [point, new Map<Destination, number>()]));
    const asked: Asked[] = [];
    const offences: string[] = [];
    for (const point of dice.shuffled(points)) {
      const counts = hits.get(point) as Map<Destination, number>;
      let { shops } = stage;
      for (let visit = 0; visit < visits && shops.length > 0; visit += 1) {
        const amount = (): bigint => BigInt(1 + dice.below(LARGEST));
        const { asked: more, hit, open } = await interrupt(stage, point, { shops, amount });
        asked.push(...more);
        offences.push(...open.map((one) => `${point.name}: ${one}`));
        for (const destination of hit) counts.set(destination, (counts.get(destination) ?? 0) + 1);
        // What is held holds up others: next time there are those alone that have not been there.
        shops = stage.shops.filter(
          ({ destination }) => point.reached.includes(destination) && !counts.has(destination),
        );
      }
    }
    offences.push(...(await judge(stage, asked)));
    const seconds = ((performance.now() - from) / 1_000).toFixed(0);
    const report = [
      `seed ${seed}: ${asked.length} payouts interrupted at ${points.length} points, in ${seconds} s`,
      ...table(hits),
      `offences ${offences.length}`,
      ...offences.slice(0, SHOWN),
    ].join('\n');
    return { report, offences, hits };
  } finally {
    await stage.close();
  }
}

/** Who was killed or cut off where, and how often each destination's payouts were there. */
function table(hits: PayoutsOutcome['hits']): string[] {
  const names = ALL.map((destination) => destination.replace('bank_', ''));
  const width = Math.max(...[...hits.keys()].map(({ name }) => name.length));
  const row = (name: string, victim: string, cells: readonly string[]): string =>
    [
      name.padEnd(width),
      victim.padEnd(6),
      ...cells.map((cell, index) => cell.padStart(names[index]?.length ?? 0)),
    ].join('  ');
  return [
    row('interrupted at', 'killed', names),
    ...[...hits].map(([{ name, victim }, counts]) =>
      row(
        name,
        victim,
        ALL.map((destination) => String(counts.get(destination) ?? '·')),
      ),
    ),
  ];
}
