import type { Cpu } from './elsewhere.ts';

/** Milliseconds. */
export interface Waits {
  readonly postings: number[];
  readonly reads: number[];
}

/** What the neighbours waited in one stretch of time, and what the machine did meanwhile. */
export interface Window extends Waits {
  readonly cpu: Cpu;
}

/** Beside the noise, and while it was sent elsewhere, each window beside followed by one elsewhere. */
export type Sides = Record<'alone' | 'beside' | 'elsewhere', Window[]>;

export const SHARES = ['p50', 'p90', 'p99'] as const;

/** Beside ÷ elsewhere: p50 and p90 of all windows; p99 as the median of what each pair of windows has. */
export function ratiosOf({ beside, elsewhere }: Sides, what: keyof Waits): Record<(typeof SHARES)[number], number> {
  const ofAll = (share: number): number => rank(beside, what, share) / rank(elsewhere, what, share);
  const pairs = beside.map((window, n) => rank([window], what, 0.99) / rank(elsewhere.slice(n, n + 1), what, 0.99));
  return { p50: ofAll(0.5), p90: ofAll(0.9), p99: median(pairs) };
}

/** Of all waits of these windows together. */
export function rank(windows: readonly Window[], what: keyof Waits, share: number): number {
  const sorted = windows.flatMap((window) => window[what]).sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const [lower, upper] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return ((lower ?? Number.NaN) + (upper ?? Number.NaN)) / 2;
}
