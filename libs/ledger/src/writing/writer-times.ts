import { Histogram, SIZES } from '#platform/histogram.js';
import type { LaneKind, Waiting } from './lines.js';

/** Steps of one try of a group, as its spans name them. */
export const GROUP_STEPS = ['lock balances', 'write and commit', 'settle'] as const;
export type GroupStep = (typeof GROUP_STEPS)[number];

/** How long postings wait for their group, how many go together, and how long its steps take in PostgreSQL. */
export class WriterTimes {
  readonly waits: Readonly<Record<LaneKind, Histogram>> = { shared: new Histogram(), apart: new Histogram() };
  readonly sizes: Readonly<Record<LaneKind, Histogram>> = { shared: new Histogram(SIZES), apart: new Histogram(SIZES) };
  readonly steps = Object.fromEntries(GROUP_STEPS.map((step) => [step, new Histogram()])) as Record<
    GroupStep,
    Histogram
  >;

  /** A try begins; a request waits once, however many tries it goes along with. */
  began(kind: LaneKind, group: readonly Waiting[], nowMs: number): void {
    this.sizes[kind].observe(group.length);
    for (const { attempts, enqueuedAt, submission } of group) {
      if (attempts === 1) this.waits[kind].observe((nowMs - enqueuedAt) / 1_000, submission.span);
    }
  }
}
