import { percentile, textTable } from '#db/bench/text-table.js';
import type { Waits } from './neighbour.js';
import { WHATS } from './neighbour.js';
import type { Kind } from './noise.js';
import type { Answers } from './noise-callers.js';
import { PROCESSES } from './noisy-stage.js';

export const WINDOWS = ['alone', 'elsewhere', 'beside'] as const;
export type Window = (typeof WINDOWS)[number];
export type Shares = Record<(typeof PROCESSES)[number], number>;

/** What came of one kind, window by window. */
export interface OfKind {
  waits: Record<Window, Waits[]>;
  cpu: Record<Window, Shares[]>;
  /** To the noisy one, beside. */
  answers: Answers;
  ms: number;
  /** Windows beside which it began with some of its burst left. */
  unspent: number;
}

export function ofNothing(): OfKind {
  const none = <T>(): Record<Window, T[]> => ({ alone: [], elsewhere: [], beside: [] });
  return { waits: none(), cpu: none(), answers: {}, ms: 0, unspent: 0 };
}

/** `goal`: of p99 beside ÷ p99 elsewhere; undefined: nobody is told whether it is reached. What counts as `longestMs` has no ratio. */
export function waitsTable(
  all: ReadonlyMap<Kind, OfKind>,
  { goal, longestMs }: { goal: number | undefined; longestMs: number },
): string {
  const rows = [...all].flatMap(([kind, of]) =>
    WHATS.map((what, index) => {
      const ms = (window: Window): number[] => of.waits[window].flatMap((waits) => waits[what]);
      const shares = (window: Window): [number, number] => [percentile(ms(window), 0.5), percentile(ms(window), 0.99)];
      const [alone, elsewhere, beside] = WINDOWS.map(shares) as [Pair, Pair, Pair];
      return [
        index === 0 ? kind : '',
        what,
        ...[alone, elsewhere, beside].map((pair) => shown(pair, 1)),
        ...[alone, elsewhere].map((base) => shown([beside[0] / base[0], beside[1] / base[1]], 2)),
        goal === undefined ? '' : verdictOf(beside[1] / elsewhere[1], goal, elsewhere[1] >= longestMs),
        index === 0 ? noiseOf(of) : '',
      ];
    }),
  );
  const header = ['beside', 'of the neighbour', ...WINDOWS, '÷ alone', '÷ elsewhere', '', 'noise, answers a second'];
  header[7] = goal === undefined ? '' : `p99 ≤ ${goal}`;
  return `p50 / p99 in ms, and as ratios\n${textTable(header, rows, 2)}`;
}

function verdictOf(ratio: number, goal: number, isCut: boolean): string {
  if (isCut) return 'not known';
  return ratio <= goal ? 'reached' : 'not reached';
}

type Pair = [p50: number, p99: number];

function shown(pair: Pair, digits: number): string {
  return pair.map((value) => value.toFixed(digits)).join(' / ');
}

/** `201: 950, 429: 50` */
function noiseOf({ answers, ms, unspent }: OfKind): string {
  const rates = Object.entries(answers).map(([status, { count }]) => {
    const perSecond = (count * 1_000) / ms;
    return `${status === '0' ? 'broken' : status}: ${perSecond.toFixed(perSecond < 10 ? 1 : 0)}`;
  });
  return rates.join(', ') + (unspent > 0 ? ', within its plan' : '');
}

/** Milliseconds of CPU a second: of the service beside, and of the noise also elsewhere. */
export function cpuTable(all: ReadonlyMap<Kind, OfKind>): string {
  const mean = (shares: readonly Shares[], name: keyof Shares): string =>
    (shares.reduce((sum, share) => sum + share[name], 0) / shares.length).toFixed(0);
  const beside = PROCESSES.filter((name) => name !== 'elsewhere');
  const alone = [...all.values()].flatMap(({ cpu }) => cpu.alone);
  const rows = [
    ['nobody', ...beside.map((name) => mean(alone, name)), '', ''],
    ...[...all].map(([kind, { cpu }]) => [
      kind,
      ...beside.map((name) => mean(cpu.beside, name)),
      ...(['noise', 'elsewhere'] as const).map((name) => mean(cpu.elsewhere, name)),
    ]),
  ];
  const header = ['beside', ...beside, 'elsewhere: noise', 'its server'];
  return `ms of CPU a second\n${textTable(header, rows)}`;
}
