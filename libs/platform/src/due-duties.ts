import type { DueWork } from './due-work.js';
import type { DutyPlan } from './duty.js';

/** Kinds of due rows by the name of the duty that works them off. */
export type NamedWork = Readonly<Record<string, DueWork>>;

/** Each goes on when its next row is due, and looks at least that often. */
export function dutiesOf(work: NamedWork, intervalMs: number): DutyPlan[] {
  return Object.entries(work).map(([name, kind]) => ({
    name,
    intervalMs,
    nextInMs: () => kind.nextInMs,
    round: () => kind.round(),
  }));
}

export function failuresOf(work: NamedWork): number {
  return Object.values(work).reduce((sum, { failures }) => sum + failures, 0);
}
